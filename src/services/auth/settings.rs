//! What the configuration says about accounts, and where the service finds it: a reload exchanges it while the service runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::services::mail::MailSettings;

/// `auth.accounts` and `auth.mail` of `gateway.yaml`, as meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The roles of a new account.
    pub default_roles: Vec<String>,
    /// How mail is sent; not at all where nothing is said outside of development.
    pub mail: Option<MailSettings>,
}

/// The place where the current [`Settings`] are found. Clones are the same place.
#[derive(Clone, Default)]
pub struct SettingsCell(Arc<ArcSwap<Settings>>);

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        Settings { default_roles: vec!["player".to_owned()], mail: None }
    }
}

// === impl SettingsCell ===

impl SettingsCell {
    pub fn load(&self) -> Arc<Settings> {
        self.0.load_full()
    }

    pub fn store(&self, settings: Arc<Settings>) {
        self.0.store(settings);
    }
}
