//! The definitions a process can run.

use std::collections::BTreeMap;

use crate::definition::Definition;

/// By name and version: an old version stays until its instances have ended.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<(&'static str, u32), Definition>);

impl Registry {
    pub fn new(definitions: impl IntoIterator<Item = Definition>) -> Self {
        let keyed = definitions.into_iter().map(|one| ((one.shape().name, one.shape().version), one));
        Self(keyed.collect())
    }

    pub fn get(&self, name: &str, version: u32) -> Option<&Definition> {
        self.iter().find(|one| one.shape().name == name && one.shape().version == version)
    }

    /// The version new instances are started with.
    pub fn newest(&self, name: &str) -> Option<&Definition> {
        self.iter().rfind(|one| one.shape().name == name)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Definition> {
        self.0.values()
    }
}
