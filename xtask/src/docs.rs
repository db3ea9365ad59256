//! Documentation that is made from the types: the JSON Schema of a plan, and the plan format.

use bootway_plan::{Class, Failure, json_schema};
use clap::Args;

use crate::{Done, plan_format, sh::root};

/// Write the generated documentation
#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Only say whether it is up to date; exit code 6 if it is not
    #[arg(long)]
    pub(crate) check: bool,
}

impl Docs {
    pub(crate) fn run(&self) -> Done {
        let schema = json_schema();
        let json = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        self.write("schemas/plan.schema.json", &json)?;
        self.write("docs/plan-format.md", &plan_format::markdown(&schema))
    }

    fn write(&self, path: &str, text: &str) -> Done {
        let file = root().join(path);
        let io = |error: std::io::Error| Failure::new(Class::Environment, error.to_string());
        if fs_err::read_to_string(&file).is_ok_and(|old| old == text) {
            println!("{path} is up to date");
            return Ok(());
        }
        if self.check {
            let failure = Failure::new(Class::Check, format!("{path} is not what the types say"));
            return Err(failure.hint("run `cargo xtask docs` and look at the difference"));
        }
        fs_err::create_dir_all(file.parent().expect("it is in the repository")).map_err(io)?;
        fs_err::write(&file, text).map_err(io)?;
        println!("wrote {path}");
        Ok(())
    }
}
