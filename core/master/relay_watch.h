/* SPDX-License-Identifier: Apache-2.0 */
/* relay_watch.h - sees to it that hooks which never return do not stop the relay. */
#ifndef CORE_MASTER_RELAY_WATCH_H
#define CORE_MASTER_RELAY_WATCH_H

#include <core/master/relay_state.h>

/* On the main loop, once the lanes run. */
void relay_watch_start(struct relay *relay);
void relay_watch_stop(struct relay *relay);

#endif
