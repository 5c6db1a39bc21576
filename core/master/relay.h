/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - the process that moves mail: loops, policy threads, committer, and what joins them.
 *
 * The main thread runs a loop of its own for the master's channel, signals and the control socket;
 * mail is moved by the lanes (lane.h).
 */
#ifndef CORE_MASTER_RELAY_H
#define CORE_MASTER_RELAY_H

/* The child: posternd --child=relay, channel on descriptor 3. Exit status. */
int relay_main(void);

#endif
