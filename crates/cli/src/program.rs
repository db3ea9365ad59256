//! This program, when it has to be started once more.

use bootway_plan::{Class, Failure};

/// What was started as this process.
pub(crate) fn this_program() -> Result<String, Failure> {
    let failed =
        |why: String| Failure::new(Class::Environment, why).because("cannot find the program itself");
    let path = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    path.into_os_string().into_string().map_err(|path| failed(format!("{} is not UTF-8", path.display())))
}

/// What enters the roots of namespaces.
pub(crate) fn helper() -> Result<Vec<String>, Failure> {
    Ok(vec![this_program()?, "inside".to_owned()])
}
