//! Statuses of what the request itself got wrong, and of a refused change. All other codes of EC2 are in
//! [`crate::ec2::codes`].

use std::fmt::Display;

use tonic::Status;

use crate::ec2::codes::Purpose;
use crate::ec2::errors::Ec2Error;

/// InvalidArgument for whatever the request itself got wrong.
pub(super) fn bad(error: impl Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// Expand, and modify: what EC2 says of the change, or of a look at the volume before it.
pub(super) fn change_volume(error: &Ec2Error) -> Status {
    Purpose::of_change(error).status(error)
}
