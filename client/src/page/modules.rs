//! Joins ES modules to one script, without a browser's help and always in the same way.
//!
//! Each module becomes a function that is called once and gives what it exports; its imports are taken from what the
//! modules before it gave. So names of one module are not seen in another, as it is with modules. Only a few forms are
//! understood, and each line that could be another one is refused:
//!
//! ```js
//! import { a, b as c } from "./other.js";
//! export const NAME = …
//! export function name(…   (async too)
//! export class Name {…
//! ```

use std::fmt::Write;

/// A script, and what it is called by those that import it.
pub(super) type Module<'a> = (&'a str, &'a str);

/// Why modules cannot be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Not among those that are known.
    #[error("there is no module {0}")]
    Unknown(String),
    /// One waits for another that waits for it.
    #[error("module {0} imports itself, by way of others or at once")]
    Circle(String),
    /// What another one wants is not there.
    #[error("module {module} does not export {name}")]
    NotExported {
        /// Which module.
        module: String,
        /// What was wanted.
        name: String,
    },
    /// A line with `import` or `export` of a form that is not understood.
    #[error("line {line} of {module} has an import or export of a form that is not understood")]
    Form {
        /// Which module.
        module: String,
        /// Which line, counted from 1.
        line: usize,
    },
}

/// One script with all that `entry` needs; its own exports are lost.
pub(super) fn join(entry: &str, modules: &[Module<'_>]) -> Result<String, JoinError> {
    let mut joiner = Joiner { modules, begun: Vec::new(), done: Vec::new(), script: String::new() };
    joiner.add(entry)?;
    Ok(joiner.script)
}

struct Joiner<'a> {
    modules: &'a [Module<'a>],
    begun: Vec<String>,
    done: Vec<Done>,
    script: String,
}

/// A module that stands in the script; its place in the list is its number there.
struct Done {
    path: String,
    exports: Vec<String>,
}

impl Joiner<'_> {
    /// Adds a module and what it needs, unless it is there; gives its number.
    fn add(&mut self, path: &str) -> Result<usize, JoinError> {
        if let Some(number) = self.done.iter().position(|done| done.path == path) {
            return Ok(number);
        }
        if self.begun.iter().any(|begun| begun == path) {
            return Err(JoinError::Circle(path.into()));
        }
        self.begun.push(path.into());
        let (_, source) = self
            .modules
            .iter()
            .find(|(name, _)| *name == path)
            .ok_or_else(|| JoinError::Unknown(path.into()))?;
        let (mut body, mut exports) = (String::new(), Vec::new());
        for (number, line) in source.lines().enumerate() {
            let form = || JoinError::Form { module: path.into(), line: number + 1 };
            if let Some(import) = line.strip_prefix("import ") {
                let (names, from) = import_of(import).ok_or_else(form)?;
                let from = resolve(path, from).ok_or_else(form)?;
                let from_number = self.add(&from)?;
                for (name, _) in &names {
                    if !self.done[from_number].exports.iter().any(|export| export == name) {
                        return Err(JoinError::NotExported { module: from, name: (*name).into() });
                    }
                }
                let names: Vec<String> = names.iter().map(|(name, own)| binding(name, own)).collect();
                line_of(&mut body, &format!("const {{ {} }} = ${from_number};", names.join(", ")));
            } else if let Some(export) = line.strip_prefix("export ") {
                exports.push(export_of(export).ok_or_else(form)?.to_owned());
                line_of(&mut body, export);
            } else if hides_import_or_export(line) {
                return Err(form());
            } else {
                line_of(&mut body, line);
            }
        }
        let number = self.done.len();
        let given = if exports.is_empty() {
            String::new()
        } else {
            format!("return {{ {} }};\n", exports.join(", "))
        };
        _ = write!(self.script, "// {path}\nconst ${number} = (() => {{\n{body}{given}}})();\n");
        self.done.push(Done { path: path.into(), exports });
        Ok(number)
    }
}

fn line_of(body: &mut String, line: &str) {
    body.push_str(line);
    body.push('\n');
}

fn binding(name: &str, own: &str) -> String {
    if name == own { name.into() } else { format!("{name}: {own}") }
}

/// Names, each with the name it gets here, and the path, of `{ a, b as c } from "path";`.
fn import_of(rest: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let (names, path) = rest.strip_prefix("{ ")?.strip_suffix("\";")?.split_once(" } from \"")?;
    Some((names.split(", ").map(imported_name).collect::<Option<_>>()?, path))
}

/// The names of `a` or `a as b`.
fn imported_name(part: &str) -> Option<(&str, &str)> {
    let (name, own) = part.split_once(" as ").unwrap_or((part, part));
    (is_name(name) && is_name(own)).then_some((name, own))
}

/// The name that `const NAME = …` and the like export.
fn export_of(rest: &str) -> Option<&str> {
    let (rest, end) = if let Some(rest) = rest.strip_prefix("const ") {
        (rest, &[" = "][..])
    } else if let Some(rest) = rest.strip_prefix("class ") {
        (rest, &[" {", " extends "][..])
    } else {
        (rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("function ")?, &["("][..])
    };
    let length = rest.find(|c: char| !is_part_of_name(c))?;
    let (name, after) = rest.split_at(length);
    (is_name(name) && end.iter().any(|end| after.starts_with(end))).then_some(name)
}

/// Whether a line that is no import or export of the forms above might be one of another form.
fn hides_import_or_export(line: &str) -> bool {
    let begins_with = |word: &str| {
        let rest = line.trim_start().strip_prefix(word);
        rest.is_some_and(|rest| !rest.starts_with(is_part_of_name))
    };
    let asks = |mark: char| {
        let after = |(at, word): (usize, &str)| line[at + word.len()..].trim_start().starts_with(mark);
        line.match_indices("import").any(after)
    };
    begins_with("import") || begins_with("export") || asks('(') || asks('.')
}

const fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(word: &str) -> bool {
    word.chars().all(is_part_of_name) && !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit())
}

/// The path that a module names another one by, seen from where all of them are.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    let rest = if let Some(rest) = path.strip_prefix("./") {
        rest
    } else {
        folders.pop()?;
        path.strip_prefix("../")?
    };
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !rest.split('/').all(plain) {
        return None;
    }
    folders.extend(rest.split('/'));
    Some(folders.join("/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn modules_stand_in_the_order_in_which_they_are_needed_and_once_each() {
        let modules = [
            (
                "app.js",
                "// The app.\nimport { a, b as c } from \"./sub/one.js\";\nimport { d } from \"./two.js\";\nrun(a, c, d);\n",
            ),
            ("two.js", "import { a } from \"./sub/one.js\";\nexport async function d() {\n  return a;\n}\n"),
            (
                "sub/one.js",
                "import { E } from \"../three.js\";\nexport const a = 1;\nexport class b extends E {}\n",
            ),
            ("three.js", "export class E {}\nexport function f(x) {}\n"),
            ("unused.js", "export default 1;\n"),
        ];
        let wanted = "// three.js\nconst $0 = (() => {\nclass E {}\nfunction f(x) {}\nreturn { E, f };\n})();\n\
             // sub/one.js\nconst $1 = (() => {\nconst { E } = $0;\nconst a = 1;\nclass b extends E {}\nreturn { a, b };\n})();\n\
             // two.js\nconst $2 = (() => {\nconst { a } = $1;\nasync function d() {\n  return a;\n}\nreturn { d };\n})();\n\
             // app.js\nconst $3 = (() => {\n// The app.\nconst { a, b: c } = $1;\nconst { d } = $2;\nrun(a, c, d);\n})();\n";
        assert_eq!(join("app.js", &modules).unwrap(), wanted);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "import a from \"./b.js\";",
            "import * as a from \"./b.js\";",
            "import \"./b.js\";",
            "import {a} from \"./b.js\";",
            "import { a } from './b.js';",
            "import { a } from \"b.js\";",
            "import { a } from \"/b.js\";",
            "import { a } from \"../b.js\";",
            "import { a } from \"./x/../b.js\";",
            "import { a } from \"https://b.example/b.js\";",
            "import { a as } from \"./b.js\";",
            "import { a }",
            "import {",
            " import { a } from \"./b.js\";",
            "const b = await import(\"./b.js\");",
            "const b = await import (\"./b.js\");",
            "const here = import.meta.url;",
            "export default a;",
            "export { a };",
            "export * from \"./b.js\";",
            "export let a = 1;",
            "export const { a } = b;",
            "export const a, b = 1;",
            "export function* a() {}",
            "export async a() {}",
            "export class {}",
            "  export const a = 1;",
            "export",
        ] {
            let source = format!("// A module.\n{line}\n");
            let refused = join("a.js", &[("a.js", &source), ("b.js", "export const a = 1;\n")]);
            assert_eq!(refused, Err(JoinError::Form { module: "a.js".into(), line: 2 }), "{line}");
        }
        for line in ["important();", "const imports = 1;", "exported(x);", "// import x", "a.import_ = 1;"] {
            assert!(join("a.js", &[("a.js", line)]).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_is_not_there_is_missed() {
        let a = ("a.js", "import { x } from \"./b.js\";\n");
        assert_eq!(join("a.js", &[a]), Err(JoinError::Unknown("b.js".into())));
        let b = ("b.js", "export const y = 1, x = 2;\n");
        let missed = JoinError::NotExported { module: "b.js".into(), name: "x".into() };
        assert_eq!(join("a.js", &[a, b]), Err(missed));
        let b = ("b.js", "import { z } from \"./a.js\";\nexport const x = 1;\n");
        assert_eq!(join("a.js", &[a, b]), Err(JoinError::Circle("a.js".into())));
    }
}
