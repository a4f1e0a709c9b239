//! Places and bytes that strangers share: bounded in all and for each address, and fair between addresses.
//!
//! There are three rules (after max-min fairness):
//!
//! 1. Nobody holds more than the share of one address. Who is at it gives back what lies idle there, the longest first.
//! 2. Where all is taken, what lies idle gives way to whoever holds nothing, or will hold no more than its holder does.
//! 3. Where nothing lies idle, the oldest of whoever holds most gives way to one that holds less.
//!
//! So an address that holds nothing is served as long as any other holds two, or lets one lie idle.

mod prefix;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub use prefix::Prefix;

/// Who takes a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Whoever is at one of these addresses.
    Address(Prefix),
    /// A proxy that the operator named: it speaks for many, so the share of one address does not bind it, and what it
    /// holds gives way to nobody.
    Proxy,
}

/// What a share is held for.
pub trait Use: fmt::Debug + Send + Sync {
    /// For how long nothing came of it that its holder owed; `None` while it is in use.
    fn idle(&self, now: Instant) -> Option<Duration>;

    /// Ends it: its share is somebody else's now.
    fn give_way(&self);
}

/// Why there is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This address holds all that one may.
    OfOneAddress,
    /// All is taken, by holders that hold no more than this one.
    InAll,
}

/// A number of places, or of bytes. Clones share it.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    total: u64,
    each: u64,
    used: u64,
    next: u64,
    holders: HashMap<Holder, Held>,
}

#[derive(Debug, Default)]
struct Held {
    amount: u64,
    /// By number, so the oldest first.
    parts: BTreeMap<u64, Part>,
}

#[derive(Debug)]
struct Part {
    amount: u64,
    used_for: Arc<dyn Use>,
}

/// A share, until it is dropped or gives way.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    holder: Holder,
    number: u64,
}

impl Shares {
    /// So much in all, and so much for one address.
    #[must_use]
    pub fn new(total: u64, each: u64) -> Self {
        let table = Table { total, each, used: 0, next: 0, holders: HashMap::new() };
        Self(Arc::new(Mutex::new(table)))
    }

    /// A share of this size. Others may have to give way to it.
    ///
    /// # Errors
    /// [`Full`], and nobody gave way in vain but for what lay idle.
    pub fn take(&self, holder: Holder, amount: u64, used_for: Arc<dyn Use>) -> Result<Share, Full> {
        let mut table = self.table();
        let gone = table.make_room(holder, amount, None, Instant::now());
        let number = table.next;
        if gone.result.is_ok() {
            table.next += 1;
            table.used += amount;
            let held = table.holders.entry(holder).or_default();
            held.amount += amount;
            held.parts.insert(number, Part { amount, used_for });
        }
        drop(table); // who gives way may look at its own share
        gone.end().map(|()| Share { shares: self.clone(), holder, number })
    }

    /// How much is taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.table().used
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who gave way, and whether that was enough.
struct Gone {
    result: Result<(), Full>,
    uses: Vec<Arc<dyn Use>>,
}

impl Gone {
    fn end(self) -> Result<(), Full> {
        for one in self.uses {
            one.give_way();
        }
        self.result
    }
}

impl Table {
    /// Takes from others what `holder` needs for `amount` more; `except` does not give way.
    fn make_room(&mut self, holder: Holder, amount: u64, except: Option<u64>, now: Instant) -> Gone {
        let mut uses = Vec::new();
        let result = loop {
            let own = self.holders.get(&holder).map_or(0, |held| held.amount);
            let wanted = own.saturating_add(amount);
            let bound = if holder == Holder::Proxy { self.total } else { self.each };
            if amount > bound {
                break Err(Full::OfOneAddress);
            }
            let victim = if wanted > bound {
                self.idle_of(holder, except, now).ok_or(Full::OfOneAddress)
            } else if self.used.saturating_add(amount) <= self.total {
                break Ok(());
            } else {
                let idle = || self.idle_of_any(holder, wanted, except, now);
                idle().or_else(|| self.oldest_of_most(holder, wanted)).ok_or(Full::InAll)
            };
            match victim {
                Err(full) => break Err(full),
                Ok((holder, number)) => uses.extend(self.remove(holder, number)),
            }
        };
        Gone { result, uses }
    }

    /// What lies idle longest at one holder.
    fn idle_of(&self, holder: Holder, except: Option<u64>, now: Instant) -> Option<(Holder, u64)> {
        let parts = self.holders.get(&holder)?.parts.iter().filter(|(number, _)| Some(**number) != except);
        let idle = parts.filter_map(|(number, part)| part.used_for.idle(now).map(|idle| (idle, *number)));
        // Of two that lie idle equally long the older one.
        idle.max_by_key(|(idle, number)| (*idle, u64::MAX - number)).map(|(_, number)| (holder, number))
    }

    /// What lies idle at whoever holds most: if that is as much as `holder` would hold, or `holder` holds nothing yet, or
    /// at `holder` itself.
    fn idle_of_any(
        &self,
        holder: Holder,
        wanted: u64,
        except: Option<u64>,
        now: Instant,
    ) -> Option<(Holder, u64)> {
        let is_new = !self.holders.contains_key(&holder);
        let may = |(one, held): &(&Holder, &Held)| {
            **one == holder || (**one != Holder::Proxy && (is_new || held.amount >= wanted))
        };
        let mut most: Vec<_> =
            self.holders.iter().filter(may).map(|(one, held)| (held.amount, *one)).collect();
        most.sort_unstable_by_key(|(amount, _)| std::cmp::Reverse(*amount));
        // Of those that hold equally much the one that was idle longest.
        most.chunk_by(|a, b| a.0 == b.0).find_map(|equals| {
            let idle = equals.iter().filter_map(|(_, one)| self.idle_of(*one, except, now));
            idle.max_by_key(|(one, number)| {
                (self.holders[one].parts[number].used_for.idle(now), u64::MAX - number)
            })
        })
    }

    /// The oldest of whoever holds most, if that one would still hold as much as `holder` then.
    fn oldest_of_most(&self, holder: Holder, wanted: u64) -> Option<(Holder, u64)> {
        let others = self.holders.iter().filter(|(one, _)| **one != holder && **one != Holder::Proxy);
        let (one, held) = others.max_by_key(|(_, held)| held.amount)?;
        let (number, part) = held.parts.iter().next()?;
        (held.amount - part.amount >= wanted).then_some((*one, *number))
    }

    fn remove(&mut self, holder: Holder, number: u64) -> Option<Arc<dyn Use>> {
        let held = self.holders.get_mut(&holder)?;
        let part = held.parts.remove(&number)?;
        held.amount -= part.amount;
        self.used -= part.amount;
        if held.parts.is_empty() {
            self.holders.remove(&holder);
        }
        Some(part.used_for)
    }
}

impl Share {
    /// So much more.
    ///
    /// # Errors
    /// [`Full`]; what it is now it stays. A share that gave way gets nothing more.
    pub fn grow(&self, more: u64) -> Result<(), Full> {
        let mut table = self.shares.table();
        if table.part(self).is_none() {
            return Err(Full::InAll);
        }
        let gone = table.make_room(self.holder, more, Some(self.number), Instant::now());
        if gone.result.is_ok() {
            table.used += more;
            if let Some(held) = table.holders.get_mut(&self.holder) {
                held.amount += more;
                held.parts.entry(self.number).and_modify(|part| part.amount += more);
            }
        }
        drop(table);
        gone.end()
    }
}

impl Table {
    /// How much a share is; `None` where it gave way.
    fn part(&self, share: &Share) -> Option<u64> {
        Some(self.holders.get(&share.holder)?.parts.get(&share.number)?.amount)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let removed = self.shares.table().remove(self.holder, self.number);
        drop(removed); // with the table unlocked: it may hold shares itself
    }
}
