//! The EBS CSI driver: Identity, Controller and Node services over EC2
