/* SPDX-License-Identifier: Apache-2.0 */
/* server_shared.h - what all loops' servers have in common. Any thread. */
#ifndef CORE_SMTP_SERVER_SHARED_H
#define CORE_SMTP_SERVER_SHARED_H

#include <core/smtp/crowd.h>
#include <core/smtp/server.h>

struct crowd *server_shared_crowd(const struct server_shared *shared);
bool server_shared_is_closed(const struct server_shared *shared);

#endif
