//! The Slackwater binary: every mode, the controller in one process, and the quick start
