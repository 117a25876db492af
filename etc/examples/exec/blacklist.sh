#!/bin/sh
# A filter for hop-exec(8): the numbers in the file $BLACKLIST, one a line, get
# nothing.  The bus asks once a minute for each number.
while IFS= read -r line; do
	id=${line#*'"id":"'} to=${line#*'"to":"'}
	id=${id%%'"'*} to=${to%%'"'*}
	if grep -qxF -e "$to" "$BLACKLIST"; then
		verdict='"reject","reason":"on the list"'
	else
		verdict='"pass"'
	fi
	echo "{\"id\":\"$id\",\"verdict\":$verdict,\"cache\":\"number\",\"ttl_ms\":60000}"
done
