# SPDX-License-Identifier: Apache-2.0

include modules/auth/local.mk
