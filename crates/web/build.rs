//! Makes two things of what lies beside the code: the texts of all languages as one type, and the assets under names
//! that hold their fingerprint. A key that one language lacks, or an unknown one in a template, does not compile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

const LANGUAGES: [&str; 2] = ["ko", "en"];
const ASSETS: [(&str, &str, &str); 3] = [
    ("madang", "css", "text/css; charset=utf-8"),
    ("madang", "js", "text/javascript; charset=utf-8"),
    ("icon", "svg", "image/svg+xml"),
];

fn main() {
    println!("cargo::rerun-if-changed=texts");
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=templates");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo says where to write"));
    fs::write(out.join("texts.rs"), texts()).expect("the texts are written");
    fs::write(out.join("assets.rs"), assets(&out)).expect("the assets are written");
}

fn texts() -> String {
    let read = LANGUAGES.map(|language| (language, language_file(language)));
    let (_, first) = &read[0];
    let mut code = "/// What pages say, a field for each key.\npub struct Texts {\n".to_owned();
    for key in first.keys() {
        let _ = writeln!(code, "    pub {key}: &'static str,");
    }
    code.push_str("}\n");
    for (language, texts) in &read {
        let missing: Vec<&String> = first.keys().filter(|key| !texts.contains_key(*key)).collect();
        let unknown: Vec<&String> = texts.keys().filter(|key| !first.contains_key(*key)).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "texts/{language}.txt lacks {missing:?}, has alone {unknown:?}"
        );
        let _ = writeln!(code, "pub const {}: Texts = Texts {{", language.to_uppercase());
        for (key, text) in texts {
            let _ = writeln!(code, "    {key}: {text:?},");
        }
        code.push_str("};\n");
    }
    code
}

/// `key = text`, one a line; `#` begins a comment.
fn language_file(language: &str) -> BTreeMap<String, String> {
    let path = format!("texts/{language}.txt");
    let text = fs::read_to_string(&path).expect("a file of texts for each language");
    let mut texts = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (key, text) = line.split_once(" = ").unwrap_or_else(|| panic!("{path}: {line:?} is no `key = text`"));
        let known = texts.insert(key.trim().to_owned(), text.trim().to_owned());
        assert!(known.is_none(), "{path}: {key} is there twice");
    }
    texts
}

fn assets(out: &Path) -> String {
    let mut code = "pub const ASSETS: &[Asset] = &[\n".to_owned();
    let mut names = String::new();
    for (name, extension, media) in ASSETS {
        let content = fs::read(format!("assets/{name}.{extension}")).expect("an asset");
        let mark = &hex::encode(Sha256::digest(&content))[..12];
        let packed = out.join(format!("{name}.{extension}.gz"));
        let mut encoder = GzEncoder::new(fs::File::create(&packed).expect("a file"), Compression::best());
        encoder.write_all(&content).expect("an asset is packed");
        encoder.finish().expect("an asset is packed");
        let plain = env::current_dir().expect("a directory").join(format!("assets/{name}.{extension}"));
        let _ = writeln!(
            code,
            "    Asset {{ file: \"{name}.{mark}.{extension}\", media: {media:?}, plain: include_bytes!({plain:?}), packed: include_bytes!({packed:?}) }},"
        );
        let constant = format!("{name}_{extension}").to_uppercase();
        let _ = writeln!(names, "pub const {constant}: &str = \"/assets/{name}.{mark}.{extension}\";");
    }
    code + "];\n" + &names
}
