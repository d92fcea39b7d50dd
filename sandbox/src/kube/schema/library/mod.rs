//! The functions that the rules of a definition may call: what the crate `cel` has of CEL, and what Kubernetes adds.
//!
//! | Module | Subject |
//! |---|---|
//! | [`address`] | `ip`, `cidr` |
//! | [`formats`] | `format` |
//! | [`lists`] | `isSorted`, `sum`, `min`, `max`, `indexOf`, `first`, `sets` |
//! | [`keyed`] | lists of type set and map as values |
//! | [`moments`] | `getHours` and the other parts of moments |
//! | [`pairs`] | macros of two variables |
//! | [`quantities`] | `quantity` |
//! | [`regexes`] | `find`, `findAll` |
//! | [`shown`] | lists and maps in `format` |
//! | [`urls`] | `url` |
//! | [`versions`] | `semver` |

mod address;
mod formats;
pub(super) mod keyed;
mod lists;
mod moments;
mod pairs;
mod quantities;
mod regexes;
mod shown;
mod urls;
mod versions;

use cel::common::types::{CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, extensions};

type Declared = Result<(), DeclarationError>;

/// The environment in which kube-apiserver compiles and evaluates the rules of definitions.
///
/// Sources: apiserver `pkg/cel/environment/base.go`, `pkg/cel/library`.
///
/// # Errors
/// When two functions have the same name and arguments: a fault of this module, which every test meets.
pub(super) fn environment() -> Result<Env, DeclarationError> {
    let mut env = Env::stdlib();
    // As there the last of two equal keys holds.
    env.set_error_on_duplicate_map_keys(false);
    let declare: [fn(&mut Env) -> Declared; 13] = [
        extensions::strings,
        extensions::lists,
        address::declare,
        formats::declare,
        lists::declare,
        lists::declare_sets,
        moments::declare,
        pairs::declare,
        quantities::declare,
        regexes::declare,
        shown::declare,
        urls::declare,
        versions::declare,
    ];
    for declare in declare {
        declare(&mut env)?;
    }
    Ok(env)
}

/// Makes a type of Rust a type of CEL whose values only its own functions can use, but for `==`.
macro_rules! opaque {
    ($type:ty, $name:literal) => {
        impl cel::common::value::Val for $type {
            fn get_type(&self) -> &cel::common::types::Type {
                <Self as cel::common::value::Val>::cel_type()
            }

            fn cel_type() -> &'static cel::common::types::Type {
                static TYPE: cel::common::types::Type = cel::common::types::Type::new_unspecified_type($name);
                &TYPE
            }

            fn equals(&self, other: &dyn cel::common::value::Val) -> bool {
                other
                    .downcast_ref::<Self>()
                    .is_some_and(|other| self == other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn cel::common::value::Val + 'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn std::any::Any> {
                Some(self)
            }
        }

        impl cel::common::value::StaticVal for $type {}
    };
}
pub(super) use opaque;

/// An error that the API server shows as it is.
fn error(function: &str, message: impl ToString) -> ExecutionError {
    ExecutionError::function_error(function, message)
}

fn texts(texts: impl IntoIterator<Item = String>) -> CelList<'static> {
    let texts = texts.into_iter().map(|text| boxed(CelString::from(text)));
    CelList::from(texts.collect::<Vec<_>>())
}

fn boxed(value: impl Val + 'static) -> Box<dyn Val> {
    Box::new(value)
}

/// The argument of a function that has one.
fn single<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let first = args.into_iter().next();
    first.ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))
}
