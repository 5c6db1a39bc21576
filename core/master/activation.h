/* SPDX-License-Identifier: Apache-2.0 */
/* activation.h - listening sockets that systemd has opened for us (sd_listen_fds(3)). */
#ifndef CORE_MASTER_ACTIVATION_H
#define CORE_MASTER_ACTIVATION_H

#include <core/master/sockets.h>

struct activation {
	int count; /* 0: systemd has opened none, or negative errno */
	char **names;
};

/* Before anything is started: no child inherits them. */
void activation_take(struct activation *activation);
/*
 * Each goes to the listener of its FileDescriptorName, else to the listener of its address. One
 * that fits none, or one more for the same listener, is an error that names it. `ret` is empty.
 */
int activation_match(const struct activation *activation, const struct checker_answer *answer,
    struct sockets *ret, struct pn_error *err);
void activation_free(struct activation *activation);

#endif
