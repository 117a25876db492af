/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue.h - intrusive lists.  The names are those of the BSD queue.h; glibc's
 * copy lacks the _SAFE walk, and this one poisons removed elements, so that a
 * double removal stops the process at once.
 */
#ifndef COMMON_QUEUE_H
#define COMMON_QUEUE_H

#include <stddef.h>

#define TAILQ_HEAD(name, type)                                                 \
	struct name {                                                          \
		struct type *tqh_first;                                        \
		struct type **tqh_last;                                        \
	}
#define TAILQ_ENTRY(type)                                                      \
	struct {                                                               \
		struct type *tqe_next;                                         \
		struct type **tqe_prev; /* the pointer that points here */     \
	}
#define TAILQ_HEAD_INITIALIZER(head)                                           \
	{                                                                      \
		NULL, &(head).tqh_first                                        \
	}
#define TAILQ_INIT(head)                                                       \
	do {                                                                   \
		(head)->tqh_first = NULL;                                      \
		(head)->tqh_last = &(head)->tqh_first;                         \
	} while (0)
#define TAILQ_FIRST(head)        ((head)->tqh_first)
#define TAILQ_EMPTY(head)        ((head)->tqh_first == NULL)
#define TAILQ_NEXT(elm, field)   ((elm)->field.tqe_next)
#define TAILQ_LINKED(elm, field) ((elm)->field.tqe_prev != NULL)
/* The list head's tqh_last lies where an element's tqe_prev would. */
#define TAILQ_LAST(head, headname)                                             \
	(*(((struct headname *)(void *)((head)->tqh_last))->tqh_last))
#define TAILQ_PREV(elm, headname, field)                                       \
	(*(((struct headname *)(void *)((elm)->field.tqe_prev))->tqh_last))
#define TAILQ_INSERT_HEAD(head, elm, field)                                    \
	do {                                                                   \
		(elm)->field.tqe_next = (head)->tqh_first;                     \
		if ((head)->tqh_first != NULL)                                 \
			(head)->tqh_first->field.tqe_prev =                    \
			    &(elm)->field.tqe_next;                            \
		else                                                           \
			(head)->tqh_last = &(elm)->field.tqe_next;             \
		(head)->tqh_first = (elm);                                     \
		(elm)->field.tqe_prev = &(head)->tqh_first;                    \
	} while (0)
#define TAILQ_INSERT_TAIL(head, elm, field)                                    \
	do {                                                                   \
		(elm)->field.tqe_next = NULL;                                  \
		(elm)->field.tqe_prev = (head)->tqh_last;                      \
		*(head)->tqh_last = (elm);                                     \
		(head)->tqh_last = &(elm)->field.tqe_next;                     \
	} while (0)
#define TAILQ_INSERT_BEFORE(listelm, elm, field)                               \
	do {                                                                   \
		(elm)->field.tqe_prev = (listelm)->field.tqe_prev;             \
		(elm)->field.tqe_next = (listelm);                             \
		*(listelm)->field.tqe_prev = (elm);                            \
		(listelm)->field.tqe_prev = &(elm)->field.tqe_next;            \
	} while (0)
#define TAILQ_INSERT_AFTER(head, listelm, elm, field)                          \
	do {                                                                   \
		(elm)->field.tqe_next = (listelm)->field.tqe_next;             \
		if ((elm)->field.tqe_next != NULL)                             \
			(elm)->field.tqe_next->field.tqe_prev =                \
			    &(elm)->field.tqe_next;                            \
		else                                                           \
			(head)->tqh_last = &(elm)->field.tqe_next;             \
		(listelm)->field.tqe_next = (elm);                             \
		(elm)->field.tqe_prev = &(listelm)->field.tqe_next;            \
	} while (0)
/*
 * clang's analyser does not see that tqe_prev of the first element is the
 * head's tqh_first, takes a removed element for the first one still, and
 * reports that it is used after free().
 */
#ifdef __clang_analyzer__
#define TAILQ_REMOVE_FIRST(head, elm, field)                                   \
	if ((head)->tqh_first == (elm))                                        \
	(elm)->field.tqe_prev = &(head)->tqh_first
#else
#define TAILQ_REMOVE_FIRST(head, elm, field)
#endif
/* Leaves tqe_prev NULL: TAILQ_LINKED() is false and a second removal faults. */
#define TAILQ_REMOVE(head, elm, field)                                         \
	do {                                                                   \
		TAILQ_REMOVE_FIRST(head, elm, field);                          \
		if ((elm)->field.tqe_next != NULL)                             \
			(elm)->field.tqe_next->field.tqe_prev =                \
			    (elm)->field.tqe_prev;                             \
		else                                                           \
			(head)->tqh_last = (elm)->field.tqe_prev;              \
		*(elm)->field.tqe_prev = (elm)->field.tqe_next;                \
		(elm)->field.tqe_prev = NULL;                                  \
	} while (0)
#define TAILQ_FOREACH(var, head, field)                                        \
	for ((var) = TAILQ_FIRST(head); (var) != NULL;                         \
	     (var) = TAILQ_NEXT(var, field))
#define TAILQ_FOREACH_SAFE(var, head, field, tvar)                             \
	for ((var) = TAILQ_FIRST(head);                                        \
	     (var) != NULL && ((tvar) = TAILQ_NEXT(var, field), 1);            \
	     (var) = (tvar))

#endif
