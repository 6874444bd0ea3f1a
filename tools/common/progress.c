// SPDX-License-Identifier: GPL-2.0-only
/*
 * progress.c - a progress line on the terminal
 */
#include <stdio.h>
#include <unistd.h>

#include "common.h"

#define INTERVAL 0.5	/* seconds between two updates */

void vdi_throughput_start(struct vdi_throughput *pace, double now, uint64_t bytes)
{
	*pace = (struct vdi_throughput){ .last = now, .last_bytes = bytes };
}

void vdi_throughput_update(struct vdi_throughput *pace, double now, uint64_t bytes)
{
	double seconds = now - pace->last, rate = 0;

	if (seconds <= 0)
		return;
	/* a count that starts again, as for reading back */
	if (bytes > pace->last_bytes)
		rate = (bytes - pace->last_bytes) / seconds;
	pace->rate = pace->rate ? 0.5 * pace->rate + 0.5 * rate : rate;
	pace->last = now;
	pace->last_bytes = bytes;
}

double vdi_throughput_left(const struct vdi_throughput *pace, uint64_t bytes, uint64_t total)
{
	if (bytes >= total)
		return 0;
	return pace->rate >= 1 ? (total - bytes) / pace->rate : -1;
}

int vdi_percent(uint64_t bytes, uint64_t total)
{
	int percent;

	if (bytes >= total)
		return 100;
	percent = 100.0 * bytes / total;
	/* the division may be rounded */
	return percent < 100 ? percent : 99;
}

void vdi_progress_start(struct vdi_progress *progress, bool quiet)
{
	*progress = (struct vdi_progress){
		.shown = !quiet && isatty(STDERR_FILENO),
		.start = vdi_now(),
	};
	vdi_throughput_start(&progress->pace, progress->start, 0);
}

/* "of 4.0 GiB (30 %)" and "00:01:10 left" */
static void describe_rest(const struct vdi_progress *progress, uint64_t bytes,
			  uint64_t total, char *of, char *left, size_t size)
{
	double seconds = vdi_throughput_left(&progress->pace, bytes, total);
	char text[32];

	*of = *left = '\0';
	if (!total)
		return;
	vdi_format_bytes(total, text, sizeof(text));
	snprintf(of, size, " of %s (%d %%)", text, vdi_percent(bytes, total));
	/* a time of many days is no estimate, but a stall */
	if (seconds < 0 || seconds > 100 * 86400.0)
		return;
	vdi_format_duration(seconds, text, sizeof(text));
	snprintf(left, size, ", %s left", text);
}

void vdi_progress_show(struct vdi_progress *progress, const char *what,
		       uint64_t bytes, uint64_t total)
{
	char done[32], rate[32], elapsed[32], of[64], left[64];
	double now;

	if (!progress->shown)
		return;
	now = vdi_now();
	if (now - progress->pace.last < INTERVAL)
		return;
	vdi_throughput_update(&progress->pace, now, bytes);
	vdi_format_bytes(bytes, done, sizeof(done));
	vdi_format_bytes(progress->pace.rate, rate, sizeof(rate));
	vdi_format_duration(now - progress->start, elapsed, sizeof(elapsed));
	describe_rest(progress, bytes, total, of, left, sizeof(of));
	fprintf(stderr, "\r%s: %s %s%s, %s/s, %s%s\033[K", vdi_program(), what,
		done, of, rate, elapsed, left);
	fflush(stderr);
	progress->printed = true;
}

/* Erase the line before other output is printed. */
void vdi_progress_end(struct vdi_progress *progress)
{
	if (progress->printed)
		fputs("\r\033[K", stderr);
	progress->printed = false;
}

void vdi_format_transfer(unsigned int devices, const char *media, uint64_t bytes,
			 double seconds, char *buf, size_t size)
{
	char text[32], rate[32], took[32];

	vdi_format_bytes(bytes, text, sizeof(text));
	vdi_format_bytes(seconds > 0 ? bytes / seconds : 0, rate, sizeof(rate));
	vdi_format_duration(seconds, took, sizeof(took));
	snprintf(buf, size, "%u device%s%s, %s in %s, %s/s", devices,
		 devices == 1 ? "" : "s", media, text, took, rate);
}
