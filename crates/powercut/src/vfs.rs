//! The VFS between SQLite and the platform's VFS: passes each call on and tells the model of the directory about it.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libsqlite3_sys::{
    SQLITE_FCNTL_CHUNK_SIZE, SQLITE_FCNTL_MMAP_SIZE, SQLITE_FCNTL_SIZE_HINT, SQLITE_IOCAP_POWERSAFE_OVERWRITE,
    SQLITE_IOCAP_SUBPAGE_READ, SQLITE_IOERR, SQLITE_IOERR_READ, SQLITE_NOTFOUND, SQLITE_OK, SQLITE_OPEN_MAIN_DB,
    SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_SUPER_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_int64,
    sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

use crate::disk::{Disk, Identity, NodeId};

/// The kinds of file that must outlive a power cut; temporary files need not.
const LASTING: c_int = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;

static DISKS: Mutex<Vec<Arc<Disk>>> = Mutex::new(Vec::new());

/// Makes this the default VFS, once in a process and for its whole life.
pub fn register() -> io::Result<()> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    match *REGISTERED.get_or_init(register_once) {
        SQLITE_OK => Ok(()),
        code => Err(io::Error::other(format!("registering the VFS failed with SQLite's code {code}"))),
    }
}

pub fn watch(disk: &Arc<Disk>) {
    disks().push(disk.clone());
}

/// Files that are open stay with their disk until they are closed.
pub fn forget(disk: &Arc<Disk>) {
    disks().retain(|known| !Arc::ptr_eq(known, disk));
}

/// Ours, with the platform's VFS beside it. SQLite hands `vfs` back to each call.
#[repr(C)]
struct Shim {
    vfs: sqlite3_vfs,
    real: *mut sqlite3_vfs,
}

/// An open file that is watched. The platform's own file follows in the same allocation, which SQLite makes as long as `szOsFile` says.
#[repr(C)]
struct File {
    base: sqlite3_file,
    disk: Arc<Disk>,
    node: NodeId,
}

/// Version 2: shared memory for the write-ahead log, but no `xFetch`, so SQLite reads and writes every page by calls.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Calls a method of the platform's file, given that file. A method it lacks is an input/output error.
macro_rules! call {
    ($real:expr, $method:ident $(, $arg:expr)*) => {
        match (*(*$real).pMethods).$method {
            Some(method) => method($real $(, $arg)*),
            None => SQLITE_IOERR,
        }
    };
}

/// Methods that only pass the call on.
macro_rules! pass_on {
    ($($name:ident = $method:ident($($arg:ident: $kind:ty),*);)*) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $arg: $kind)*) -> c_int {
            // SAFETY: SQLite calls the methods of `METHODS` only with files `open` has filled in, and the arguments go on as they came.
            unsafe { call!(real_of(file), $method $(, $arg)*) }
        }
    )*};
}

pass_on! {
    read = xRead(to: *mut c_void, len: c_int, offset: sqlite3_int64);
    file_size = xFileSize(size: *mut sqlite3_int64);
    lock = xLock(level: c_int);
    unlock = xUnlock(level: c_int);
    check_reserved_lock = xCheckReservedLock(answer: *mut c_int);
    sector_size = xSectorSize();
    shm_map = xShmMap(page: c_int, len: c_int, extend: c_int, address: *mut *mut c_void);
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int);
    shm_unmap = xShmUnmap(delete: c_int);
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: as in `pass_on`.
    unsafe {
        let real = real_of(file);
        if let Some(barrier) = (*(*real).pMethods).xShmBarrier {
            barrier(real);
        }
    }
}

fn register_once() -> c_int {
    // SAFETY: a registered VFS lives as long as the process and is not changed, so it may be copied. The copy keeps `pAppData` and all
    // methods but two; those two hand the original on to the platform. The shim is leaked, so it lives as long as SQLite asks for.
    unsafe {
        let real = sqlite3_vfs_find(ptr::null());
        if real.is_null() {
            return SQLITE_NOTFOUND;
        }
        let vfs = sqlite3_vfs {
            szOsFile: size_of::<File>() as c_int + (*real).szOsFile,
            pNext: ptr::null_mut(),
            zName: c"powercut".as_ptr(),
            xOpen: Some(open),
            xDelete: Some(delete),
            ..*real
        };
        let shim: *mut Shim = Box::leak(Box::new(Shim { vfs, real }));
        sqlite3_vfs_register(shim.cast(), 1)
    }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with the VFS of `register_once`, a name that is null or a path ended by zero and valid while the file is
    // open, and `szOsFile` bytes for the file: enough for the platform's file alone, or for it behind a `File`.
    unsafe {
        let vfs = (*vfs.cast::<Shim>()).real;
        let Some(open) = (*vfs).xOpen else {
            return SQLITE_IOERR;
        };
        let Some((path, disk)) = watched(name).filter(|_| flags & LASTING != 0) else {
            return open(vfs, name, file, flags, flags_out);
        };
        // Not to be closed by SQLite if it fails below.
        (*file).pMethods = ptr::null();
        let real = real_of(file);
        let mut state = disk.lock();
        let before = identity(path);
        let code = open(vfs, name, real, flags, flags_out);
        if code != SQLITE_OK {
            return code;
        }
        let node = match before {
            Some(identity) => match state.known(path, identity) {
                Some(node) => Some(node),
                None => contents(real).map(|bytes| state.adopt(path, identity, bytes)),
            },
            None => identity(path).map(|identity| state.create(path, identity)),
        };
        drop(state);
        let Some(node) = node else {
            call!(real, xClose);
            return SQLITE_IOERR_READ;
        };
        file.cast::<File>().write(File { base: sqlite3_file { pMethods: &METHODS }, disk, node });
        SQLITE_OK
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite calls this with the VFS of `register_once` and a path ended by zero.
    unsafe {
        let vfs = (*vfs.cast::<Shim>()).real;
        let Some(delete) = (*vfs).xDelete else {
            return SQLITE_IOERR;
        };
        let Some((path, disk)) = watched(name) else {
            return delete(vfs, name, sync_dir);
        };
        let mut state = disk.lock();
        let code = delete(vfs, name, sync_dir);
        if code == SQLITE_OK {
            state.delete(path, sync_dir != 0);
        }
        code
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the file was filled in by `open`, and SQLite does not touch it after this call.
    unsafe {
        let code = call!(real_of(file), xClose);
        file.cast::<File>().drop_in_place();
        code
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, len: c_int, offset: sqlite3_int64) -> c_int {
    // SAFETY: the file was filled in by `open`; `from` has `len` bytes, which is not negative.
    unsafe {
        let File { disk, node, .. } = &*file.cast::<File>();
        let mut state = disk.lock();
        let code = call!(real_of(file), xWrite, from, len, offset);
        if code == SQLITE_OK {
            state.write(*node, offset as u64, slice::from_raw_parts(from.cast(), len as usize));
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, len: sqlite3_int64) -> c_int {
    // SAFETY: the file was filled in by `open`.
    unsafe {
        let File { disk, node, .. } = &*file.cast::<File>();
        let mut state = disk.lock();
        let code = call!(real_of(file), xTruncate, len);
        if code == SQLITE_OK {
            state.truncate(*node, len as u64);
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file was filled in by `open`.
    unsafe {
        let File { disk, node, .. } = &*file.cast::<File>();
        // Not under the lock: a sync takes long, and a cut during it is the interesting one.
        let changes = disk.lock().changes(*node);
        let code = call!(real_of(file), xSync, flags);
        if code == SQLITE_OK {
            disk.lock().sync(*node, changes);
        }
        code
    }
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    match operation {
        // These would let the platform change the file unseen, by mapping it or by growing it ahead. All are hints.
        SQLITE_FCNTL_MMAP_SIZE | SQLITE_FCNTL_CHUNK_SIZE | SQLITE_FCNTL_SIZE_HINT => SQLITE_NOTFOUND,
        // SAFETY: as in `pass_on`.
        _ => unsafe { call!(real_of(file), xFileControl, operation, argument) },
    }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as in `pass_on`.
    let real = unsafe { call!(real_of(file), xDeviceCharacteristics) };
    // Whatever more the platform promises (atomic or ordered writes), the image does not keep.
    real & (SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_SUBPAGE_READ)
}

/// The platform's file behind a watched one.
///
/// # Safety
/// `file` has the `szOsFile` bytes of this VFS.
unsafe fn real_of(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: those bytes are a `File` and the platform's file after it; the size of a `File` is a multiple of eight, the alignment SQLite keeps.
    unsafe { file.byte_add(size_of::<File>()) }
}

/// Reads a whole file through the platform's VFS: closing a descriptor of our own would drop the POSIX locks SQLite holds on it.
///
/// # Safety
/// `real` is an open file of the platform's VFS.
unsafe fn contents(real: *mut sqlite3_file) -> Option<Vec<u8>> {
    const CHUNK_BYTES: usize = 1 << 20;
    let mut size: sqlite3_int64 = 0;
    // SAFETY: the file is open, `size` is ours for the call.
    if unsafe { call!(real, xFileSize, &mut size) } != SQLITE_OK {
        return None;
    }
    let mut bytes = vec![0; size as usize];
    for (index, chunk) in bytes.chunks_mut(CHUNK_BYTES).enumerate() {
        let offset = (index * CHUNK_BYTES) as sqlite3_int64;
        // SAFETY: the chunk has the length given with it, at most `CHUNK_BYTES`.
        let code = unsafe { call!(real, xRead, chunk.as_mut_ptr().cast(), chunk.len() as c_int, offset) };
        if code != SQLITE_OK {
            return None;
        }
    }
    Some(bytes)
}

/// The path and the disk that watches it.
///
/// # Safety
/// `name` is null or ended by zero, and lives for `'a`.
unsafe fn watched<'a>(name: *const c_char) -> Option<(&'a Path, Arc<Disk>)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()));
    let disk = disks().iter().find(|disk| disk.holds(path)).cloned()?;
    Some((path, disk))
}

fn disks() -> MutexGuard<'static, Vec<Arc<Disk>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
