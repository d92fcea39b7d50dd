//! Lists of type set and map as rules see them: equal in any order, and `+` joins them by their keys.
//!
//! Source: apiserver `pkg/cel/common/values.go`.

use cel::ExecutionError;
use cel::common::traits::{Adder, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{CelList, CelString, LIST_TYPE, Type};
use cel::common::value::{CowVal, Val};

/// A list whose items are told apart by keys, or, where there are none, by what they are.
#[derive(Clone, Debug)]
pub(crate) struct Keyed<'v> {
    items: CelList<'v>,
    keys: Vec<String>,
}

impl<'v> Keyed<'v> {
    /// A list of type map with the names of its keys, or of type set without.
    pub(crate) fn new(items: Vec<Box<dyn Val + 'v>>, keys: Vec<String>) -> Self {
        Self {
            items: CelList::from(items),
            keys,
        }
    }

    fn is_same(&self, one: &dyn Val, other: &dyn Val) -> bool {
        if self.keys.is_empty() {
            return one.equals(other);
        }
        self.keys.iter().all(|key| {
            let name = CelString::from(key.as_str());
            match (member(one, &name), member(other, &name)) {
                (Some(one), Some(other)) => one.as_ref().equals(other.as_ref()),
                (None, None) => true,
                _ => false,
            }
        })
    }
}

fn member<'b, 'v>(item: &'b (dyn Val + 'v), name: &CelString<'_>) -> Option<CowVal<'b, 'v>> {
    item.as_indexer()?.get(name).ok()
}

impl Adder for Keyed<'_> {
    /// What is added takes the place of what has its keys.
    fn add<'b, 'w>(&'b self, rhs: &(dyn Val + 'w)) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let mut added = rhs
            .as_iterable()
            .ok_or_else(|| super::error("+", "no such overload"))?
            .iter();
        let mut items: Vec<Box<dyn Val + 'w>> = self
            .items
            .inner()
            .iter()
            .map(|item| item.clone_as_boxed())
            .collect();
        while let Some(item) = added.next() {
            let before = items
                .iter_mut()
                .find(|before| self.is_same(before.as_ref(), item));
            match before {
                Some(before) => *before = item.clone_as_boxed(),
                None => items.push(item.clone_as_boxed()),
            }
        }
        Ok(CowVal::owned(Keyed::new(items, self.keys.clone())))
    }
}

impl Val for Keyed<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &LIST_TYPE
    }

    fn as_adder<'b, 'w>(&'b self) -> Option<&'b (dyn Adder + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        self.items.as_container()
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        self.items.as_indexer()
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        self.items.as_iterable()
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.items.as_sizer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.items.as_zeroer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let Some(mut others) = other.as_iterable().map(Iterable::iter) else {
            return false;
        };
        if other.get_type() != &LIST_TYPE {
            return false;
        }
        let mut count = 0;
        while let Some(other) = others.next() {
            count += 1;
            let mut same = self
                .items
                .inner()
                .iter()
                .filter(|item| self.is_same(item.as_ref(), other));
            if !same.any(|item| item.equals(other)) {
                return false;
            }
        }
        count == self.items.inner().len()
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}
