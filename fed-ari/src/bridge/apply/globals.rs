//! The global variables of numbers: whom they ring while fed-node is down.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::{Applied, Applier, ApplyError, told, told::Lists};
use crate::{
    client::{AriError, IN_BULK},
    port::MapSnapshot,
    render::{Global, render},
};

impl Applier {
    /// Writes the global variables of all numbers.
    ///
    /// # Errors
    /// What an ARI call met, or the map.
    pub(in crate::bridge) async fn apply_globals(
        &self,
        snapshot: &MapSnapshot,
        applied: &mut Applied,
    ) -> Result<(), ApplyError> {
        self.recall().await?;
        let left = self.known.lock().left.clone();
        let desired = render(&snapshot.view(), &self.target)?;
        let gone = left.into_iter().filter(|name| !desired.globals.contains_key(name));
        let gone: Vec<String> = gone.collect();
        Ok(self.write_globals(desired.globals, |_| true, gone, applied).await?)
    }

    /// Asks Asterisk, once, which variables somebody before this process set.
    async fn recall(&self) -> Result<(), AriError> {
        if self.known.lock().told.is_some() {
            return Ok(());
        }
        let told = told::read(&self.client).await?;
        let mut known = self.known.lock();
        known.left = told::names(&told);
        known.told = Some(told);
        Ok(())
    }

    /// Sets the variables that are not as wanted, and empties those that it `covers` and nobody wants, and those that are `gone`.
    pub(super) async fn write_globals(
        &self,
        wanted: BTreeMap<String, Global>,
        covers: impl Fn(&Global) -> bool,
        gone: Vec<String>,
        applied: &mut Applied,
    ) -> Result<(), AriError> {
        self.recall().await?;
        let (set, unset) = {
            let known = self.known.lock();
            let set: Vec<(String, Global)> = wanted
                .iter()
                .filter(|(name, global)| known.globals.get(*name) != Some(global))
                .map(|(n, g)| (n.clone(), g.clone()))
                .collect();
            let unneeded = known
                .globals
                .iter()
                .filter(|(name, global)| covers(global) && !wanted.contains_key(*name));
            let unset: BTreeSet<String> = unneeded.map(|(name, _)| name.clone()).chain(gone).collect();
            (set, unset)
        };
        applied.written += (set.len() + unset.len()) as u64;
        let added: BTreeSet<&str> = set.iter().map(|(name, _)| name.as_str()).collect();
        self.tell(&added, &added).await?;
        stream::iter(&set)
            .map(Ok)
            .try_for_each_concurrent(IN_BULK, |(name, global)| async move {
                self.client.set_global(name, &global.devices).await?;
                self.known.lock().globals.insert(name.clone(), global.clone());
                Ok(())
            })
            .await?;
        for name in &unset {
            self.client.set_global(name, "").await?;
            let mut known = self.known.lock();
            known.globals.remove(name);
            known.left.remove(name);
        }
        let removed = unset.iter().map(String::as_str).collect();
        self.tell(&BTreeSet::new(), &removed).await
    }

    /// Writes the lists of the variables' names that hold any of `changed`, with those that are `coming`.
    async fn tell(&self, coming: &BTreeSet<&str>, changed: &BTreeSet<&str>) -> Result<(), AriError> {
        if changed.is_empty() {
            return Ok(());
        }
        let lists: Lists = {
            let known = self.known.lock();
            let there: BTreeSet<&str> = known.globals.keys().chain(&known.left).map(String::as_str).collect();
            let lists = told::lists(there.union(coming).copied(), changed);
            let written = known.told.as_ref();
            let is_new = |list: &u32, names: &String| written.and_then(|told| told.get(list)) != Some(names);
            lists.into_iter().filter(|(list, names)| is_new(list, names)).collect()
        };
        stream::iter(lists)
            .map(Ok)
            .try_for_each_concurrent(IN_BULK, |(list, names)| async move {
                told::write(&self.client, list, &names).await?;
                if let Some(told) = &mut self.known.lock().told {
                    told.insert(list, names);
                }
                Ok(())
            })
            .await
    }
}
