//! `format`: the forms of names and values that Kubernetes knows.

use cel::common::types::{CelOptional, CelString};
use cel::common::value::Val as _;
use cel::{Env, add_member_overload, add_overload};

use super::{Declared, boxed, opaque, texts, urls};
use crate::kube::metadata;
use crate::kube::schema::format::Format;

/// What is wrong with a text; nothing where it has the form.
type Faults = fn(&str) -> Vec<String>;

/// A form, by its name.
#[derive(Clone, Copy, Debug)]
struct Form {
    name: &'static str,
    faults: Faults,
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

opaque!(Form, "kubernetes.NamedFormat");

const FORMS: [Form; 13] = [
    form("dns1123Label", metadata::label_errors),
    form("dns1123LabelPrefix", |text| {
        metadata::label_errors(&completed(text))
    }),
    form("dns1123Subdomain", metadata::subdomain_errors),
    form("dns1123SubdomainPrefix", |text| {
        metadata::subdomain_errors(&completed(text))
    }),
    form("dns1035Label", metadata::service_label_errors),
    form("dns1035LabelPrefix", |text| {
        metadata::service_label_errors(&completed(text))
    }),
    form("qualifiedName", metadata::qualified_name_errors),
    form("labelValue", metadata::label_value_errors),
    form("uri", |text| urls::read(text).err().into_iter().collect()),
    form("uuid", |text| {
        other(Format::Uuid, text, "does not match the UUID format")
    }),
    form("byte", |text| other(Format::Byte, text, "invalid base64")),
    form("date", |text| other(Format::Date, text, "invalid date")),
    form("datetime", |text| {
        other(Format::DateTime, text, "invalid datetime")
    }),
];

const fn form(name: &'static str, faults: Faults) -> Form {
    Form { name, faults }
}

/// A prefix may end with a dash, for something follows it.
fn completed(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(start) if !start.is_empty() => format!("{start}a"),
        _ => text.to_owned(),
    }
}

fn other(format: Format, text: &str, fault: &str) -> Vec<String> {
    let holds = !text.is_empty() && format.holds(&text.into());
    (!holds).then(|| fault.to_owned()).into_iter().collect()
}

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_type(Form::cel_type().to_owned())?;
    add_overload!(env, fn named: (CelString) -> CelOptional, name = "format.named")?;
    add_member_overload!(env, fn validate: (Form, CelString) -> CelOptional)?;
    macro_rules! constant {
        ($($index:literal)*) => { $({
            fn constant() -> Form {
                FORMS[$index]
            }
            add_overload!(env, fn constant: () -> Form, name = format!("format.{}", FORMS[$index].name))?;
        })* };
    }
    constant!(0 1 2 3 4 5 6 7 8 9 10 11 12);
    Ok(())
}

fn named(name: &CelString<'_>) -> CelOptional<'static> {
    let found = FORMS.iter().find(|form| form.name == name.inner());
    found.map_or_else(CelOptional::none, |form| CelOptional::of(boxed(*form)))
}

fn validate(form: &Form, text: &CelString<'_>) -> CelOptional<'static> {
    let faults = (form.faults)(text);
    if faults.is_empty() {
        CelOptional::none()
    } else {
        CelOptional::of(boxed(texts(faults)))
    }
}
