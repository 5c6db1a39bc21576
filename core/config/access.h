/* SPDX-License-Identifier: Apache-2.0 */
/* access.h - whose a listener's unix socket is, and who may connect to it. */
#ifndef CORE_CONFIG_ACCESS_H
#define CORE_CONFIG_ACCESS_H

#include <core/config/relay.h>
#include <postern/base.h>

struct config_access {
	unsigned mode;
	int64_t uid, gid; /* -1: whoever opens it */
};

/* -EINVAL with the text, and in `ret_key` the option that it is about. */
int config_access_read(const struct config_listener *listener, struct config_access *ret,
    const char **ret_key, struct pn_error *err);

#endif
