//! No file that is right gives a finding, in any environment; production says what it requires beyond that, and nothing else.

use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::{Rule, render};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::table::compile::{Context, compile};

use crate::top;

#[test]
fn no_file_that_is_right_gives_a_finding() {
    let secret = |name: &str| ["TOKEN", "SECRET", "URL"].iter().any(|end| name.ends_with(end));
    let variables = |name: &str| secret(name).then(|| format!("{name}-0123456789-0123456789-0123456789"));
    let pools = Pools::default();
    for folder in ["routes", "examples/greeter/routes", "examples/policy/routes"] {
        for environment in Environment::ALL {
            let files = Files::on_disk();
            let options = LoadOptions { folder: top().join(folder), environment, variables: &variables };
            let (mut document, mut report) = config::load(&files, &options);
            compile(&mut document, &files, &pools, &Context::default(), None, &mut report);
            let is_asked = |rule: Rule| environment == Environment::Production && rule == Rule::Production;
            let other = report.sorted().into_iter().filter(|finding| !is_asked(finding.rule)).count();
            assert_eq!(
                other,
                0,
                "{folder} in {}:\n{}",
                environment.name(),
                render::human(&report, &document.sources, render::Color::Plain)
            );
        }
    }
}
