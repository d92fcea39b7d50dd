//! The CSI protocol: messages, client and server over a Unix socket or in process, error classes
