# The role of the controller, by EKS Pod Identity or, where oidc_provider is given, by IRSA. What it may do and whom it trusts are
# the files beside this one.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.30"
    }
  }
}

variable "cluster_name" {
  description = "The EKS cluster."
  type        = string
}

variable "oidc_provider" {
  description = "Its issuer without https://, for IRSA; none means Pod Identity."
  type        = string
  default     = ""
}

variable "policy" {
  description = "controller.json, or controller-least.json."
  type        = string
  default     = "controller.json"
}

data "aws_caller_identity" "current" {}

locals {
  has_irsa = var.oidc_provider != ""

  # The file names an account and an issuer that are examples.
  trust_irsa = replace(
    replace(file("${path.module}/trust-irsa.json"), "111122223333", data.aws_caller_identity.current.account_id),
    "oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE", var.oidc_provider
  )
  trust_pod_identity = file("${path.module}/trust-pod-identity.json")
}

resource "aws_iam_policy" "controller" {
  name   = "${var.cluster_name}-ebs-csi-controller"
  policy = file("${path.module}/${var.policy}")
}

resource "aws_iam_role" "controller" {
  name               = "${var.cluster_name}-ebs-csi-controller"
  assume_role_policy = local.has_irsa ? local.trust_irsa : local.trust_pod_identity
}

resource "aws_iam_role_policy_attachment" "controller" {
  role       = aws_iam_role.controller.name
  policy_arn = aws_iam_policy.controller.arn
}

resource "aws_eks_pod_identity_association" "controller" {
  count           = local.has_irsa ? 0 : 1
  cluster_name    = var.cluster_name
  namespace       = "kube-system"
  service_account = "ebs-csi-controller-sa"
  role_arn        = aws_iam_role.controller.arn
}

# IRSA: the value of the annotation eks.amazonaws.com/role-arn of the service account.
output "role_arn" {
  value = aws_iam_role.controller.arn
}
