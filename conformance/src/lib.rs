//! Tests before judges that nobody here wrote. The tests are in `tests/it`: one module a judge.
