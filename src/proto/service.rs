//! Every service that a pool has, for whoever writes something about all of them rather than asks for one by name.

use prost_reflect::ServiceDescriptor;

use super::{Method, Pool};

/// One service.
#[derive(Clone)]
pub struct Service {
    pool: Pool,
    descriptor: ServiceDescriptor,
}

// === impl Service ===

impl Service {
    pub(super) fn new(pool: &Pool, descriptor: ServiceDescriptor) -> Service {
        Service { pool: pool.clone(), descriptor }
    }

    /// The full name, `pkg.Service`.
    pub fn full_name(&self) -> &str {
        self.descriptor.full_name()
    }

    /// The last part of it.
    pub fn name(&self) -> &str {
        self.descriptor.name()
    }

    /// The package, which may be empty.
    pub fn package(&self) -> &str {
        self.descriptor.package_name()
    }

    /// What its .proto file says of it.
    pub fn comment(&self) -> Option<&str> {
        self.pool.comment(self.full_name())
    }

    /// In the order of the file.
    pub fn methods(&self) -> Vec<Method> {
        self.descriptor.methods().map(|method| Method::new(&self.pool, &method)).collect()
    }
}
