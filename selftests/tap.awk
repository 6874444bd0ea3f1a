# SPDX-License-Identifier: GPL-2.0
#
# Reads the KTAP of selftests/run and counts the innermost results. Prints one line per
# program, and the output of each failure. At the end it writes the line "passed failed
# skipped" to the file COUNTS.
#
#   LABEL   name of this run
#   STATUS  file that will have the exit status of the command that prints the input
#
# A program counts as one more failure if it failed although its own results did not:
# it died, printed no plan, or printed fewer results than planned.

function fail(text) {
	failed++
	print "  FAIL    " LABEL ": " text
}

function forget(	i) {
	for (i in ran)
		delete ran[i]
	p = f = s = 0
	plan = -1
	said = ""
}

BEGIN {
	forget()
	passed = failed = skipped = 0
	outer = -1
}

{
	sub(/\r$/, "")
	match($0, /^ */)
	depth = RLENGTH
	line = substr($0, depth + 1)
}

line ~ /^1\.\.[0-9]+/ {
	split(substr(line, 4), w, " ")
	if (depth == 0)
		outer = w[1] + 0
	else if (depth == 2)
		plan = w[1] + 0
	if (depth == 2 && line ~ /# SKIP/ && w[1] == 0)
		s++
	next
}

# A result of a program, or of a part of it
depth > 0 && line ~ /^(not )?ok( |$)/ {
	# Results that are deeper than this one, since the last at this depth, are its
	# parts. It is counted only if it has none, or if it failed and none of them did.
	below = bad = 0
	for (i in ran)
		if (i + 0 > depth) {
			below += ran[i]
			bad += wrong[i]
			delete ran[i]
			delete wrong[i]
		}
	ran[depth]++
	if (line ~ /^not ok/)
		wrong[depth]++
	if (depth == 2)
		results++
	if (below && (line ~ /^ok/ || bad)) {
		said = ""
		next
	}
	if (line ~ /^(not )?ok[^#]*#[ \t]*[Ss][Kk][Ii][Pp]/)
		s++
	else if (line ~ /^ok/)
		p++
	else {
		f++
		if (line !~ /# TODO/)
			printf "%s", said
		print "          " line
	}
	said = ""
	next
}

# The run time of a program
depth == 0 && line ~ /^# .*: [0-9]+ s(, of the processors [0-9]+ s)?$/ {
	seconds = line
	sub(/.*: /, "", seconds)
	next
}

# The result line of a program
depth == 0 && line ~ /^(not )?ok [0-9]+ / {
	name = line
	sub(/^(not )?ok [0-9]+ (- )?(selftests: )?(vdiset: )?/, "", name)
	why = name
	sub(/ *#.*/, "", name)
	if (!sub(/^[^#]*# */, "", why))
		why = ""
	programs++
	passed += p
	skipped += s
	failed += f
	text = ""
	if (p + f + s == 0 && line ~ /^ok/ && line ~ /# SKIP/)
		skipped++
	else if (line ~ /^not ok/ && f == 0) {
		printf "%s", said
		fail(name " failed: " (why ? why : "not ok"))
		text = "!"
	} else if (plan < 0)
		text = "no plan"
	else if (results < plan)
		text = "only " results + 0 " of " plan " results"
	if (text != "" && text != "!")
		fail(name ": " text)
	printf "  %-7s %s: %s: %d passed", (f || text != "" ? "FAIL" : "TEST"), LABEL, name, p
	if (f)
		printf ", %d failed", f
	if (s)
		printf ", %d skipped", s
	if (seconds != "")
		printf " (%s)", seconds
	printf "\n"
	fflush()
	results = 0
	seconds = ""
	for (i in wrong)
		delete wrong[i]
	forget()
	next
}

# Other lines may explain the next failure; keep the last of them.
{
	if (length(said) > 20000)
		said = substr(said, length(said) - 10000)
	said = said "          " line "\n"
}

END {
	status = 0
	if ((getline status < STATUS) <= 0)
		status = "unknown"
	if (p + f + s) {
		# The last program has no result line.
		passed += p
		failed += f
		skipped += s
	}
	if (status != 0 && status != 1 || programs != outer) {
		printf "%s", said
		if (status == 124)
			why = "timed out"
		else if (status == 125)
			why = "the virtual machine failed"
		else if (programs != outer)
			why = programs + 0 " of " (outer < 0 ? "?" : outer) " programs ran"
		else
			why = "exit status " status
		fail(why)
	} else if (status != 0 && failed == 0)
		fail("exit status " status)
	print passed, failed, skipped > COUNTS
}
