# Runs one private Postgres cluster and stops it when its owner ends, however it ends.
#
# arguments  the cluster's folder, the folder with Postgres' programs, the sockets' folder as Postgres
#            shall name it, keep or remove, the server's options
# stdin      a pipe from the owner that nobody writes to: it ends when the owner does
# stdout     one line to the owner: "ready", or what failed
# stderr     the lock: whoever waits for it waits until this script is done
#
# Everything is named relative to the folder, because pg_ctl pastes the names it is given into a shell line.

trap '' HUP INT TERM PIPE # only the owner's end ends us, and a report to a dead owner must not
cd "$1" || exit 1
folder=$1 bin=$2 sockets=$3 afterwards=$4 options=$5

exec 9>&2 2>>log

run() { "$bin/$@" </dev/null >>log 2>&1 9>&-; }

# Whose is the process number in postmaster.pid? "ours", "foreign" after the number was given away again, or nothing.
# A signal to a foreign one could hit another cluster of the same user.
whose() {
  if [ -d /proc/self ]; then
    seen=$(readlink "/proc/$1/cwd")
    case $seen in "$(pwd -P)/data") echo ours ;; ?*) echo foreign ;; esac
  else
    seen=$(ps -p "$1" -o args=)
    case $seen in *postgres*" -D data "*) echo ours ;; *defunct* | '') ;; *) echo foreign ;; esac
  fi
}

postmaster() { [ ! -f data/postmaster.pid ] || head -n 1 data/postmaster.pid; }

stop() {
  pid=$(postmaster)
  [ -n "$pid" ] || return 0
  case $(whose "$pid") in
    ours)
      kill -CONT "$pid" # one that was frozen would not hear us
      run pg_ctl stop -s -w -m "$1" -t 20 -D data || run pg_ctl stop -s -w -m immediate -t 20 -D data
      ;;
    foreign) rm -f data/postmaster.pid ;;
  esac
}

create() {
  rm -rf init.* # what an earlier start was cut off from finishing
  run initdb --no-sync --no-instructions -A trust -U verigate -E UTF8 --locale=C -D "init.$$" && mv "init.$$" data
}

start() {
  tries=0
  until run pg_ctl start -s -w -t 60 -D data -l server.log -o "-c unix_socket_directories=$sockets $options"; do
    # A postmaster that was killed is in the way until its own parent has noticed; all else is final.
    grep -q -e 'lock file .* already exists' -e 'still in use' server.log || return 1
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
    sleep 0.1
    : >server.log
  done
}

: >log
: >server.log
stop immediate # we hold the lock, so a server that is still there has lost its owner
if [ ! -f data/PG_VERSION ] && ! create; then
  echo "initdb failed"
elif ! start; then
  stop immediate
  echo "the server did not start"
else
  echo "ready"
  exec >/dev/null
  cat >/dev/null
  if [ "$afterwards" = keep ]; then stop fast; else stop immediate; fi
fi

if [ "$afterwards" = remove ]; then
  rm -rf data init.* .s.PGSQL.* owner
  [ "$sockets" = .. ] || rm -rf "$sockets"
  cat >/dev/null # after a failure the owner still has the logs to read
  rm -rf "$folder" || rm -f log server.log lock
fi
