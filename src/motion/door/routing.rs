//! Routing: which shard a command is for.
//!
//! By the site that it names, as a document in the pointers' bucket has it, which `weir setup` keeps. What names no site is for the
//! shard that its request names; or for the only one.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::edges::keys::Keys;
use crate::edges::streams::{AppendError, ReadError};
use crate::words::command::Command;
use crate::words::config::{Shard, Shards};
use crate::words::reply::DoorReason;

/// Where the document is.
pub const ROUTES_KEY: &str = "routes";
/// The version of the document that this binary writes and reads.
const VERSION: u32 = 1;

/// The document.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    shards: Vec<Shard>,
}

/// Which shard holds which site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    shards: Vec<String>,
    sites: BTreeMap<String, usize>,
}

impl Routes {
    /// From the shards of a configuration.
    #[must_use]
    pub fn new(shards: &Shards) -> Self {
        Self::of(&shards.0)
    }

    fn of(shards: &[Shard]) -> Self {
        let sites = shards
            .iter()
            .enumerate()
            .flat_map(|(place, shard)| shard.sites.iter().map(move |site| (site.clone(), place)));
        Self { shards: shards.iter().map(|shard| shard.name.clone()).collect(), sites: sites.collect() }
    }

    /// The shards' names.
    #[must_use]
    pub fn shards(&self) -> &[String] {
        &self.shards
    }

    /// The shard that holds a site.
    #[must_use]
    pub fn of_site(&self, site: &str) -> Option<&str> {
        self.sites.get(site).map(|place| self.shards[*place].as_str())
    }

    /// The shard that a command is for, by its place among [`Self::shards`]; `named` is what its request says.
    pub fn route(&self, command: &Command<'_>, named: Option<&str>) -> Result<usize, DoorReason> {
        if let Some(site) = command.content().site() {
            return self.sites.get(site).copied().ok_or(DoorReason::UnknownSite);
        }
        match (named, self.shards.as_slice()) {
            (Some(named), shards) => {
                shards.iter().position(|shard| shard == named).ok_or(DoorReason::NoShard)
            }
            (None, [_only]) => Ok(0),
            (None, _) => Err(DoorReason::NoShard),
        }
    }

    /// Reads the document; none where there is none.
    pub async fn read(keys: &impl Keys) -> Result<Option<Self>, ReadError> {
        let Some(entry) = keys.get(ROUTES_KEY).await? else { return Ok(None) };
        let unreadable = |why: String| ReadError::Unreadable(format!("the document {ROUTES_KEY}: {why}"));
        let document: Document =
            serde_json::from_slice(&entry.value).map_err(|error| unreadable(error.to_string()))?;
        if document.version != VERSION {
            return Err(unreadable(format!("version {} is not known", document.version)));
        }
        Ok(Some(Self::of(&document.shards)))
    }

    /// Writes the document where it says something else, or is not there; gives whether it was written.
    ///
    /// # Panics
    /// Never: the document has a form in JSON.
    pub async fn keep(keys: &impl Keys, shards: &Shards) -> Result<bool, AppendError> {
        let document = Document { version: VERSION, shards: shards.0.clone() };
        let text = Bytes::from(serde_json::to_vec(&document).expect("plain data"));
        let unread = |error: ReadError| AppendError::Unavailable(error.to_string());
        let entry = keys.get(ROUTES_KEY).await.map_err(unread)?;
        if entry.as_ref().is_some_and(|entry| entry.value == text) {
            return Ok(false);
        }
        keys.put(ROUTES_KEY, text, entry.map_or(0, |entry| entry.revision)).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::memory::MemoryKeys;
    use crate::words::codec::{Format, commands};
    use crate::words::policy::RULES_NEWEST;

    fn shards(list: &[(&str, &[&str])]) -> Shards {
        let shard = |(name, sites): &(&str, &[&str])| Shard {
            name: (*name).to_owned(),
            sites: sites.iter().map(|site| (*site).to_owned()).collect(),
        };
        Shards(list.iter().map(shard).collect())
    }

    fn route<'r>(routes: &'r Routes, json: &str, named: Option<&str>) -> Result<&'r str, DoorReason> {
        let decoded = commands(Some(Format::Json), json.as_bytes(), RULES_NEWEST).next().unwrap();
        routes.route(&decoded.unwrap(), named).map(|place| routes.shards()[place].as_str())
    }

    #[test]
    fn by_site_by_name_or_there_is_only_one() {
        let two = Routes::new(&shards(&[("a", &["main"]), ("b", &["north", "south"])]));
        let one = Routes::new(&shards(&[("a", &["main"])]));
        let place = r#"{"place":{"order_id":"O","lines":[{"sku":"S","quantity":1}]}}"#;
        let south = r#"{"place":{"order_id":"O","site":"south","lines":[]}}"#;
        let listed = r#"{"place":{"order_id":"O","sites":["north","main"],"lines":[]}}"#;
        let transfer = r#"{"transfer":{"transfer_id":"X","from":"north","to":"south","lines":[]}}"#;
        let pay = r#"{"pay":{"order_id":"O"}}"#;
        assert_eq!(route(&two, place, None), Ok("a"));
        assert_eq!(route(&two, south, None), Ok("b"));
        assert_eq!(route(&two, listed, None), Ok("b"));
        assert_eq!(route(&two, transfer, None), Ok("b"));
        // Its site says it, whatever the request says.
        assert_eq!(route(&two, south, Some("a")), Ok("b"));
        assert_eq!(route(&one, south, None), Err(DoorReason::UnknownSite));
        assert_eq!(route(&two, pay, None), Err(DoorReason::NoShard));
        assert_eq!(route(&two, pay, Some("b")), Ok("b"));
        assert_eq!(route(&two, pay, Some("c")), Err(DoorReason::NoShard));
        assert_eq!(route(&one, pay, None), Ok("a"));
        assert_eq!(route(&one, pay, Some("c")), Err(DoorReason::NoShard));
    }

    #[tokio::test]
    async fn the_document_is_kept_and_read_back() {
        let keys = MemoryKeys::default();
        let shards = shards(&[("a", &["main"]), ("b", &["north"])]);
        assert_eq!(Routes::read(&keys).await, Ok(None));
        assert_eq!(Routes::keep(&keys, &shards).await, Ok(true));
        assert_eq!(Routes::keep(&keys, &shards).await, Ok(false));
        assert_eq!(Routes::read(&keys).await, Ok(Some(Routes::new(&shards))));
        let revision = keys.get(ROUTES_KEY).await.unwrap().unwrap().revision;
        keys.put(ROUTES_KEY, Bytes::from_static(br#"{"version":2,"shards":[]}"#), revision).await.unwrap();
        assert!(Routes::read(&keys).await.unwrap_err().to_string().contains("version 2"));
    }
}
