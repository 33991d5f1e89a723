//! The sites of a shard.

use std::collections::BTreeMap;

use compact_str::CompactString;

use crate::words::policy::SITE_DEFAULT;

/// A site's place in [`Sites`]; never used for another site later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SiteIndex(pub(crate) u16);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Sites {
    /// All there ever were.
    names: Vec<CompactString>,
    /// Those that policy lists now.
    listed: BTreeMap<CompactString, SiteIndex>,
    /// The site of orders that name none, if it is listed.
    default: Option<SiteIndex>,
}

impl Sites {
    pub(crate) fn new() -> Self {
        let mut sites = Self::of_none();
        sites.list(SITE_DEFAULT);
        sites.default = sites.listed.get(SITE_DEFAULT).copied();
        sites
    }

    fn of_none() -> Self {
        Self { names: Vec::new(), listed: BTreeMap::new(), default: None }
    }

    /// The site that a command names, or the default one; none where policy does not list it.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<SiteIndex> {
        match name {
            None => self.default,
            Some(name) => self.listed.get(name).copied(),
        }
    }

    /// A site that policy lists now, or did before.
    pub(crate) fn find_ever(&self, name: &str) -> Option<SiteIndex> {
        let gone = || self.names.iter().position(|known| known == name);
        self.find(Some(name)).or_else(|| Some(SiteIndex(u16::try_from(gone()?).ok()?)))
    }

    pub(crate) fn name(&self, site: SiteIndex) -> &str {
        &self.names[site.0 as usize]
    }

    /// The sites that policy lists, in bytewise order of their names.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (&str, SiteIndex)> {
        self.listed.iter().map(|(name, site)| (name.as_str(), *site))
    }

    /// How many names there would be if `names` were listed.
    pub(crate) fn count_with<'n>(&self, names: impl Iterator<Item = &'n str>) -> usize {
        self.names.len() + names.filter(|name| !self.names.iter().any(|known| known == name)).count()
    }

    /// Lists exactly `names`.
    pub(crate) fn replace<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.listed.clear();
        for name in names {
            self.list(name);
        }
        self.default = self.listed.get(SITE_DEFAULT).copied();
    }

    /// All there ever were, with whether policy lists them now.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = (&str, bool)> {
        self.names.iter().map(|name| (name.as_str(), self.listed.contains_key(name)))
    }

    /// The sites that a snapshot has; none where one is there twice.
    pub(crate) fn restored(all: &[(&str, bool)]) -> Option<Self> {
        let mut sites = Self::of_none();
        for (name, _) in all {
            sites.list(name);
        }
        let distinct = sites.names.len() == all.len();
        sites.replace(all.iter().filter(|(_, listed)| *listed).map(|(name, _)| *name));
        distinct.then_some(sites)
    }

    fn list(&mut self, name: &str) {
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        let index = SiteIndex(u16::try_from(index).expect("policy caps the sites"));
        self.listed.insert(name.into(), index);
    }
}
