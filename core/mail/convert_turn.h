/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert_turn.h - conversions take turns, so that together they take no more memory than a large
 * one alone.
 *
 * One for the process: queues and policy threads convert at the same time. Any thread that may
 * block.
 */
#ifndef CORE_MAIL_CONVERT_TURN_H
#define CORE_MAIL_CONVERT_TURN_H

#include <stddef.h>

/*
 * Waits until a message of that length may be converted: one of any length, or several small ones,
 * in the order in which they came. `ret` is to be given back.
 */
void convert_turn_take(size_t len, size_t *ret);
void convert_turn_give(size_t taken);

#endif
