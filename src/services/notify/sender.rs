//! How the operator sends: the service of this process, called as a gRPC service, on the side of senders.

use std::sync::Arc;
use std::time::Duration;

use super::super::unary::Way;
use super::v1::{
    Batch, DefineTemplateRequest, DefineTemplateResponse, GetBatchRequest, GetBatchResponse, SendRequest, SendResponse, Template,
};
use crate::backend::{self, Backend, Builtins, Spec, SpecKind};
use crate::failure::Result;

/// How long the service may take to answer: some writes to the store.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer: a batch with its errors.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// The name of the service among those of the process.
const BUILTIN: &str = "notify";

/// The way to NotifyAdmin. Clones are the same way.
#[derive(Clone)]
pub struct Sender(Way);

// === impl Sender ===

impl Sender {
    /// To the service among these.
    pub fn to(builtins: &Builtins) -> Sender {
        let spec = Spec { name: BUILTIN.into(), kind: SpecKind::Builtin(BUILTIN.into()) };
        let backend = Backend::open(spec, 1, builtins, None).expect("the service is one of those of every process");
        Sender(Way { backend, headers: Arc::new(backend::headers([])), patience: PATIENCE, reply_bytes_max: REPLY_BYTES_MAX })
    }

    /// Sends a notification. It is stored when this answers.
    pub async fn send(&self, request: &SendRequest) -> Result<SendResponse> {
        self.0.call("/protogate.notify.v1.NotifyAdmin/Send", request).await
    }

    /// Defines a template or its next version. Which that is.
    pub async fn define(&self, template: Template) -> Result<u32> {
        let request = DefineTemplateRequest { template: Some(template) };
        let response: DefineTemplateResponse = self.0.call("/protogate.notify.v1.NotifyAdmin/DefineTemplate", &request).await?;
        Ok(response.version)
    }

    /// How far a batch is.
    pub async fn batch(&self, batch_id: &str) -> Result<Batch> {
        let request = GetBatchRequest { batch_id: batch_id.to_owned() };
        let response: GetBatchResponse = self.0.call("/protogate.notify.v1.NotifyAdmin/GetBatch", &request).await?;
        Ok(response.batch.unwrap_or_default())
    }
}
