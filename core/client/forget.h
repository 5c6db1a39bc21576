/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forget.h - libcurl and libldap, started so that they overwrite whatever memory they free.
 *
 * Both have to copy secrets into buffers of their own to send them. Any thread.
 */
#ifndef CORE_CLIENT_FORGET_H
#define CORE_CLIENT_FORGET_H

#include <postern/base.h>

/* Once per process, before anything else of the libraries. 0 or -ENOTSUP. */
int forget_start(void);

#endif
