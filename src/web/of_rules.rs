//! What takes a while to make of the rules in force, made once for each set of them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::rules::Rules;

/// The last that was made, and of which rules.
pub(super) struct OfRules<T>(Mutex<Option<(Weak<Rules>, Arc<T>)>>);

impl<T> Default for OfRules<T> {
    fn default() -> OfRules<T> {
        OfRules(Mutex::new(None))
    }
}

impl<T> OfRules<T> {
    /// Who asks while it is made waits for it.
    pub(super) fn get(&self, rules: &Arc<Rules>, make: impl FnOnce(&Rules) -> T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, made)) = &*known
            && of.ptr_eq(&Arc::downgrade(rules))
        {
            return Arc::clone(made);
        }
        let made = Arc::new(make(rules));
        *known = Some((Arc::downgrade(rules), Arc::clone(&made)));
        made
    }
}
