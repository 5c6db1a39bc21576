/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_source.h - configuration files by way of the master: the checker asks, the master reads.
 */
#ifndef CORE_MASTER_REMOTE_SOURCE_H
#define CORE_MASTER_REMOTE_SOURCE_H

#include <core/config/source.h>
#include <core/master/channel.h>

/* The checker's end. `fd` stays the caller's. */
int remote_source(int fd, struct source **ret);
/* The master's end: answers one CHANNEL_LIST or CHANNEL_READ frame out of `from`. */
int remote_source_answer(int fd, const struct channel_frame *question, struct source *from);

#endif
