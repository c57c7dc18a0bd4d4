//! Templates of notifications, as an operator defines them: in this process nobody else can reach that side of the service.

use std::collections::{BTreeMap, HashMap};

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::audit::Audit;
use super::notify::{failed, importance, kind, named};
use super::{Admin, Reply, body, error, reply};
use crate::services::notify::v1;

/// A template as an operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    name: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    importance: String,
    /// In the order of their names.
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    words: HashMap<String, Words>,
    default_locale: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    title: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    html: String,
}

/// `POST /api/v1/templates` with `{"name": …, "parameters": {…}, "words": {"en": {"title": …, "body": …}}, "default_locale": "en"}`.
pub async fn define(admin: &Admin, request: Request<Incoming>, audit: &Audit) -> Reply {
    let asked: Template = match body::read(request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let name = asked.name.clone();
    let template = match asked.meant() {
        Ok(template) => template,
        Err(what) => return error(StatusCode::BAD_REQUEST, &what),
    };
    match admin.notify.define(template).await {
        Ok(version) => {
            audit.what(format!("template {name}, version {version}"));
            reply(StatusCode::OK, &json!({ "template": name, "version": version }))
        }
        Err(failure) => failed(&failure),
    }
}

// === impl Template ===

impl Template {
    fn meant(self) -> Result<v1::Template, String> {
        let parameter = |(name, Parameter { r#type, required })| {
            let kind = named("parameters", "PARAMETER_TYPE", &r#type, v1::ParameterType::from_str_name)?;
            Ok(v1::Parameter { name, r#type: kind.into(), required })
        };
        let words = |(locale, Words { title, body, html })| (locale, v1::Words { title, body, html });
        Ok(v1::Template {
            name: self.name,
            r#type: kind(&self.r#type)?.into(),
            importance: importance(&self.importance)?.into(),
            parameters: self.parameters.into_iter().map(parameter).collect::<Result<_, String>>()?,
            words: self.words.into_iter().map(words).collect(),
            default_locale: self.default_locale,
            ..v1::Template::default()
        })
    }
}
