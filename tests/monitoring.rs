//! What `examples/monitoring` shows is true: alerts and dashboard ask for metrics that there are, by their labels, and every alert leads to a
//! section of the operator's guide, where it has a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::support::top;

fn read(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&read(&format!("examples/monitoring/{name}"))).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("examples/monitoring/dashboard.json")).unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every rule of alerts.yaml.
fn rules() -> Vec<Value> {
    array(&yaml("alerts.yaml")["groups"]).iter().flat_map(|group| array(&group["rules"]).to_vec()).collect()
}

/// The panels that ask for something. No row is folded, so that none is inside another.
fn panels() -> Vec<Value> {
    array(&dashboard()["panels"]).iter().filter(|panel| panel["type"] != "row").cloned().collect()
}

/// Every expression, and where it stands.
fn expressions() -> Vec<(String, String)> {
    let of_rules = rules().into_iter().map(|rule| (name(&rule), rule["expr"].as_str().unwrap().to_owned()));
    let of_panels = panels().into_iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        array(&panel["targets"]).iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    });
    let all = dashboard();
    let of_variables = array(&all["templating"]["list"])
        .iter()
        .filter_map(|variable| Some((variable["name"].as_str()?.to_owned(), variable["query"]["query"].as_str()?.to_owned())));
    of_rules.chain(of_panels).chain(of_variables).collect()
}

fn name(rule: &Value) -> String {
    rule["alert"].as_str().or(rule["record"].as_str()).unwrap().to_owned()
}

/// The metrics that an expression names, each with the labels that are asked of it.
fn asked(expression: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for prefix in ["protogate_", "process_"] {
        for (at, _) in expression.match_indices(prefix) {
            if expression[..at].ends_with(is_word) {
                continue;
            }
            let metric: String = expression[at..].chars().take_while(|c| is_word(*c)).collect();
            let rest = &expression[at + metric.len()..];
            let inside = rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap_or_default());
            let labels = inside.split(',').filter_map(|label| Some(label.split(['=', '!']).next()?.trim().to_owned()));
            found.entry(metric).or_default().extend(labels.filter(|label| !label.is_empty()));
        }
    }
    found
}

/// Every metric of docs/metrics.md, with its labels: the table's first cell has the names in backquotes, the third the labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for line in read("docs/metrics.md").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let words = |cell: &str| -> Vec<String> {
            cell.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let labels: BTreeSet<String> = words(cells[2..].join(" ").as_str()).into_iter().collect();
        for metric in words(cells[0]) {
            let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{metric}{part}"));
            // Only a histogram has them, and what is asked of them is held against its kind.
            if cells[1].contains("histogram") {
                parts.into_iter().for_each(|part| drop(found.insert(part, labels.clone())));
            }
            found.insert(metric, labels.clone());
        }
    }
    assert!(found.len() > 40, "the metrics are found");
    found
}

#[test]
fn every_metric_that_is_asked_for_is_in_the_list_and_has_the_labels() {
    let documented = documented();
    // Prometheus adds these itself.
    let added = ["job", "instance", "le"];
    let mut wrong = Vec::new();
    for (place, expression) in expressions() {
        for (metric, labels) in asked(&expression) {
            match documented.get(&metric) {
                None => wrong.push(format!("{place}: there is no metric `{metric}`")),
                Some(known) => wrong.extend(
                    labels
                        .iter()
                        .filter(|label| !known.contains(*label) && !added.contains(&label.as_str()))
                        .map(|label| format!("{place}: `{metric}` has no label `{label}`")),
                ),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_alert_leads_to_the_guide_and_is_explained_there() {
    let guide = read("docs/operating.md");
    let headings: BTreeSet<String> = guide.lines().filter(|line| line.starts_with("##")).map(anchor).collect();
    let rows: BTreeSet<String> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `Protogate")?.split('`').next())
        .map(|name| format!("Protogate{name}"))
        .collect();
    let mut alerts = BTreeSet::new();
    for rule in rules().iter().filter(|rule| !rule["alert"].is_null()) {
        let name = name(rule);
        for said in ["summary", "description", "guide"] {
            assert!(rule["annotations"][said].is_string(), "{name} has no {said}");
        }
        assert!(["page", "ticket", "info"].iter().any(|severity| rule["labels"]["severity"] == *severity), "{name}");
        let section = rule["annotations"]["guide"].as_str().unwrap().strip_prefix("docs/operating.md#").unwrap_or_else(|| panic!("{name}"));
        assert!(headings.contains(section), "{name}: the guide has no section `{section}`");
        assert!(alerts.insert(name), "an alert has one name");
    }
    assert!(alerts.len() > 20);
    assert_eq!(rows, alerts, "the guide's table is the list of alerts");
    let tests = read("examples/monitoring/alerts.test.yaml");
    for alert in &alerts {
        assert!(tests.contains(&format!("\"{alert}\"")), "no test shows when {alert} speaks");
    }
}

/// The anchor that a heading has on a page: as GitHub makes it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard = dashboard();
    assert!(dashboard["id"].is_null(), "the Grafana that imports it gives the id");
    let variables: Vec<&str> = array(&dashboard["templating"]["list"]).iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables[0], "datasource");
    let ids: Vec<&Value> = array(&dashboard["panels"]).iter().map(|panel| &panel["id"]).collect();
    assert!(ids.iter().all(|id| ids.iter().filter(|other| other == &id).count() == 1), "an id is of one panel");
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert!(panel["description"].is_string(), "{title} does not say what it shows");
        assert!(!array(&panel["targets"]).is_empty(), "{title} asks for nothing");
        for target in array(&panel["targets"]) {
            let expression = target["expr"].as_str().unwrap();
            for used in expression.split('$').skip(1) {
                let used: String = used.trim_start_matches('{').chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                assert!(variables.contains(&used.as_str()) || used == "__rate_interval", "{title}: there is no variable `{used}`");
            }
        }
    }
    let rows: Vec<&str> =
        array(&dashboard["panels"]).iter().filter(|panel| panel["type"] == "row").filter_map(|row| row["title"].as_str()).collect();
    assert_eq!(rows, ["Overview", "Routes", "Backends", "Connections", "Pushes", "Configuration", "Process"]);
}

#[test]
fn prometheus_asks_the_admin_side_with_the_token_of_a_file() {
    for file in ["prometheus.yaml", "prometheus.kubernetes.yaml"] {
        let prometheus = yaml(file);
        assert_eq!(prometheus["rule_files"][0], "alerts.yaml");
        let job = &prometheus["scrape_configs"][0];
        assert_eq!(job["job_name"], "protogate", "the alerts go by it");
        assert_eq!(job["metrics_path"], "/metrics");
        assert!(job["authorization"]["credentials_file"].is_string() && job["authorization"]["credentials"].is_null(), "{file}");
    }
    assert_eq!(yaml("prometheus.yaml")["scrape_configs"][0]["static_configs"][0]["targets"][0], "127.0.0.1:7081");
}
