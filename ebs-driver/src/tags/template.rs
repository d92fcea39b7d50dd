//! The part of Go's `text/template` that tag values may use.
//!
//! Supported: pipelines, string, integer and boolean literals, fields of the root, `if`/`else if`/`else`,
//! `with`/`else`, trim markers, the comparison and logic builtins, `len`, `printf` with `%s`, `%v` and `%d`, and
//! the functions of spec 2.6. Everything else is refused, never rendered wrongly: variables, `range`,
//! `define`, comments, floats, characters, `nil`, `html`, `js`, `call`, `urlquery`, `print`, `println`, `slice`.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{evaluate, parser};

/// Why a template is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("an action is not closed")]
    Unclosed,
    /// Something that the language does not have here.
    #[error("unexpected {0}")]
    Unexpected(String),
    /// An action, a pipeline stage or a condition without content.
    #[error("a value is missing")]
    Missing,
    /// `if` or `with` without `end`.
    #[error("an {{{{if}}}} or {{{{with}}}} has no {{{{end}}}}")]
    NoEnd,
    /// Nested too deeply.
    #[error("the template is nested too deeply")]
    TooDeep,
    /// No such function, or one that is not supported.
    #[error("the function {0:?} is not supported")]
    Function(String),
    /// No such field.
    #[error("there is no field {0:?}")]
    Field(String),
    /// A function was given the wrong number or kinds of arguments.
    #[error("wrong arguments for {function}: expected {expected}")]
    Arguments {
        /// The function.
        function: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// An index outside the text or the parts.
    #[error("an offset of {0} is out of range")]
    Range(&'static str),
    /// A value that is no text, number or boolean.
    #[error("the whole metadata cannot be used as a value")]
    Root,
}

/// Renders a template with these root fields.
///
/// # Errors
/// When it does not parse or fails while it is evaluated. Branches that are not taken are parsed, not evaluated.
pub fn render(template: &str, fields: &BTreeMap<&str, &str>) -> Result<String, TemplateError> {
    evaluate::render(&parser::parse(template)?, fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([("PVCName", "data"), ("PVCNamespace", "ns-prod"), ("PVName", "")])
    }

    #[test]
    fn templates_render() {
        let rows = [
            ("plain", "plain"),
            ("", ""),
            ("a}}b", "a}}b"),
            ("{{ .PVCName }}-x", "data-x"),
            (r#"{{ "quoted \"text\"\t\u00e9" }}"#, "quoted \"text\"\té"),
            ("{{ `raw \\n` }}", "raw \\n"),
            ("{{ 3 }}{{ -3 }}{{ true }}", "3-3true"),
            (r#"{{ .PVCNamespace | field "-" 1 | toUpper }}"#, "PROD"),
            (r#"{{ toUpper (field "-" 0 .PVCNamespace) }}"#, "NS"),
            (r#"{{ field "" 1 "abc" }}"#, "b"),
            (r#"{{ contains "prod" .PVCNamespace }}"#, "true"),
            (
                r#"{{ if contains "prod" .PVCNamespace }}p{{ else }}d{{ end }}"#,
                "p",
            ),
            (
                r#"{{ if eq .PVCName "x" }}1{{ else if eq .PVCName "y" "data" }}2{{ else }}3{{ end }}"#,
                "2",
            ),
            ("{{ if .PVName }}a{{ else }}b{{ end }}", "b"),
            ("{{ with .PVCName }}<{{ . }}>{{ end }}", "<data>"),
            ("{{ with .PVName }}x{{ else }}{{ .PVCName }}{{ end }}", "data"),
            ("a {{- .PVCName -}} b", "adatab"),
            ("a\n{{- if true }} b {{ end -}} \n c", "a b c"),
            (
                r#"{{ printf "%s/%s-%d%%" .PVCNamespace .PVCName 7 }}"#,
                "ns-prod/data-7%",
            ),
            (r#"{{ .PVCName | printf "%s-%v" "x" }}"#, "x-data"),
            ("{{ len .PVCName }}", "4"),
            (r#"{{ and .PVName .Nope }}"#, ""),
            (r#"{{ or .PVCName .Nope }}"#, "data"),
            (r#"{{ not .PVName }}"#, "true"),
            (
                r#"{{ lt 1 2 }}{{ le 2 2 }}{{ gt "a" "b" }}{{ ge 1 2 }}{{ ne 1 2 }}"#,
                "truetruefalsefalsetrue",
            ),
            (
                r#"{{ substring 0 2 "abcd" }}{{ substring 2 -1 "abcd" }}{{ substring -1 1 "abcd" }}"#,
                "abcda",
            ),
            (r#"{{ substring 1 99 "abcd" }}"#, "bcd"),
            (
                r#"{{ index "c" "abcabc" }}{{ lastIndex "c" "abcabc" }}{{ index "z" "a" }}"#,
                "25-1",
            ),
            ("{{ if false }}{{ .Nope }}{{ end }}ok", "ok"),
            ("{{if true}}x{{end}}", "x"),
            ("{{\n.PVCName\n|\ntoUpper\n}}", "DATA"),
        ];
        for (template, expected) in rows {
            assert_eq!(render(template, &fields()).as_deref(), Ok(expected), "{template}");
        }
    }

    const REFUSED: &[&str] = &[
        "{{",
        "{{ .PVCName",
        "{{ }}",
        "{{ if }}x{{ end }}",
        "{{ if true }}x",
        "{{ end }}",
        "{{ else }}",
        "{{ if true }}a{{ else }}b{{ else }}c{{ end }}",
        "{{ .Nope }}",
        "{{ . }}",
        "{{ .PVCName.Length }}",
        "{{ .PVCName \"x\" }}",
        "{{ \"a\" \"b\" }}",
        "{{ \"a\"\"b\" }}",
        "{{ \"a\" | \"b\" }}",
        "{{ .PVCName | .PVName }}",
        "{{ toUpper }}",
        "{{ toUpper 1 }}",
        "{{ toUpper \"a\" \"b\" }}",
        "{{ field \"-\" 2 .PVCNamespace }}",
        "{{ field \"-\" -1 .PVCNamespace }}",
        "{{ field 1 \"-\" .PVCNamespace }}",
        "{{ substring -1 9 \"abcd\" }}",
        "{{ substring -1 -1 \"abcd\" }}",
        "{{ substring 3 2 \"abcd\" }}",
        "{{ substring 5 9 \"abcd\" }}",
        "{{ substring 0 1 \"é\" }}",
        "{{ eq 1 \"1\" }}",
        "{{ eq 1 }}",
        "{{ lt true false }}",
        "{{ printf \"%x\" \"a\" }}",
        "{{ printf \"%s\" }}",
        "{{ printf \"a\" \"b\" }}",
        "{{ printf \"%d\" \"b\" }}",
        "{{ printf \"%s\" 1 }}",
        "{{ printf \"%\" }}",
        "{{ printf 1 }}",
        "{{ html .PVCName }}",
        "{{ js .PVCName }}",
        "{{ call .PVCName }}",
        "{{ urlquery .PVCName }}",
        "{{ print .PVCName }}",
        "{{ slice .PVCName 1 }}",
        "{{ range .PVCName }}x{{ end }}",
        "{{ $x := .PVCName }}",
        "{{ $ }}",
        "{{ define \"x\" }}{{ end }}",
        "{{ template \"x\" }}",
        "{{ break }}",
        "{{/* comment */}}",
        "{{ 1.5 }}",
        "{{ 0x10 }}",
        "{{ 010 }}",
        "{{ 1_000 }}",
        "{{ 99999999999999999999 }}",
        "{{ 'a' }}",
        "{{ nil }}",
        "{{ (.PVCName }}",
        "{{ (toUpper .PVCName).X }}",
        "{{ (toUpper .PVCName) 1 }}",
        "{{ toUpper(.PVCName)(.PVName) }}",
        "{{ | toUpper }}",
        "{{ .PVCName | }}",
        "{{ \"open }}",
        "{{ \"bad \\q\" }}",
        "{{ `open }}",
        "{{ unknown .PVCName }}",
        "{{ \"a\nb\" }}",
        "{{ end -}}",
        "{{ with .PVCName }}{{ .PVName }}{{ end }}",
        "{{ if true }}{{ end x }}",
        "{{ len 5 }}",
        "{{ not 1 2 }}",
    ];

    #[test]
    fn ebs_case_44_the_rest_is_refused() {
        for template in REFUSED {
            assert!(render(template, &fields()).is_err(), "{template}");
        }
        let deep = format!(
            "{}true{}",
            "{{ ".to_owned() + &"(".repeat(5000),
            ")".repeat(5000) + " }}"
        );
        assert_eq!(render(&deep, &fields()), Err(TemplateError::TooDeep));
        let nested = "{{ if true }}".repeat(5000) + &"{{ end }}".repeat(5000);
        assert_eq!(render(&nested, &fields()), Err(TemplateError::TooDeep));
    }

    proptest! {
        #[test]
        fn no_template_panics(template in "(\\{\\{|\\}\\}|[a-zA-Z .|()\"`%\\\\-]|if|else|end|with|printf|field|é|[0-9]){0,24}") {
            let _ = render(&template, &fields());
        }

        #[test]
        fn text_without_actions_is_unchanged(template in "[^{]*") {
            prop_assert_eq!(render(&template, &fields()), Ok(template));
        }
    }
}
