# Hosts, links, faults and processes of the tests with faults.
# SPDX-License-Identifier: MPL-2.0
#
# To be read by a script that has set `bin` to the folder of the programs and `work` to an empty folder.
#
#     host p1 ----- 10.201.1.0/30 -----+
#     host c1 ----- 10.201.2.0/30 -----+---- host broker
#     ...      "uplink" | "p1", "c1"
#
# A host is a network namespace leatPID-NAME of this script's PID; all go at its end, and so do its
# processes, even if the script is killed. A peer's journals are $journals/NAME.NUMBER.journal.

port=5560
data= # a directory: the broker keeps its streams there, and all brokers of the run are one to the checker
note () {
    "$bin/fault_note" "$journals/faults.journal" "$@"
}

fail () {
    echo "FAILED: $*"
    exit 1
}

declare -A process=()   # of a peer or "broker"
declare -A instances=() # how many a peer has had
declare -A number_of=() # of a host's link
hosts_made=()
links_made=0

# The shell tells each process that was killed; whatever else it says is told if things go wrong.
exec 2> "$work/stderr"

# --- hosts and links

space () {
    printf 'leat%s-%s' "$$" "$1"
}

on () {
    local where=$1
    shift
    ip netns exec "$(space "$where")" "$@"
}

make_host () {
    ip netns add "$(space "$1")" || return 1
    hosts_made+=("$1")
    ip -n "$(space "$1")" link set lo up &&
        on "$1" nft -f - <<'END'
add table inet faults
add chain inet faults input { type filter hook input priority 0; }
add chain inet faults link
add rule inet faults input iifname "uplink" jump link
END
}

# Ends with code 77 where hosts cannot be made.
need_hosts () {
    local tool
    for tool in ip nft setpriv; do
        command -v "$tool" > /dev/null || {
            echo "SKIPPED: network namespaces: there is no program $tool (scripts/packages)"
            exit 77
        }
    done
    if ! make_host broker 2> "$work/hosts.log"; then
        echo "SKIPPED: network namespaces: they cannot be made here (root with CAP_NET_ADMIN and" \
            "CAP_SYS_ADMIN is needed): $(head -n 1 "$work/hosts.log")"
        exit 77
    fi
}

# join NAME: a host with a link to the broker's.
join () {
    local name=$1
    make_host "$name" || fail "the host $name cannot be made"
    links_made=$((links_made + 1))
    number_of[$name]=$links_made
    ip link add name "$name" netns "$(space broker)" type veth peer name uplink netns "$(space "$name")"
    ip -n "$(space broker)" addr add "10.201.$links_made.1/30" dev "$name"
    ip -n "$(space broker)" link set "$name" up
    ip -n "$(space "$name")" addr add "10.201.$links_made.2/30" dev uplink
    ip -n "$(space "$name")" link set uplink up
    on broker nft -f - <<END
add chain inet faults from_$name
add rule inet faults input iifname "$name" jump from_$name
END
}

broker_address () {
    printf '10.201.%s.1' "${number_of[$1]}"
}

# rule HOST CHAIN RULE...: the only rule of that chain.
rule () {
    local where=$1 chain=$2
    shift 2
    printf 'flush chain inet faults %s\n%s\n' "$chain" "${1:+add rule inet faults $chain $*}" |
        on "$where" nft -f -
}

# link NAME WAY drop|lose PERCENT|sound: what becomes of packets; WAY is up (to the broker), down, both.
link () {
    local name=$1 way=$2 what=$3 words=()
    case $what in
    drop) words=(drop) ;;
    lose) words=(numgen random mod 100 '<' "$4" drop) ;;
    esac
    case $way in up | both) rule broker "from_$name" "${words[@]}" ;; esac
    case $way in down | both) rule "$name" link "${words[@]}" ;; esac
}

# --- processes

# wait_until SECONDS WHAT COMMAND...: until the command succeeds.
wait_until () {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" 2> /dev/null; do
        [ "$SECONDS" -lt "$end" ] || fail "waited for $what for too long"
        sleep 0.02
    done
}

# launch NAME HOST COMMAND...: as the process of NAME, in the background. It dies with this script.
launch () {
    local name=$1 where=$2
    shift 2
    setpriv --pdeathsig KILL ip netns exec "$(space "$where")" "$@" \
        >> "$journals/$name.log" 2>&1 < /dev/null &
    process[$name]=$!
}

# ends NAME CODE SECONDS: its process ends so, and within that time.
ends () {
    local name=$1 want=$2 pid=${process[$1]} code=0
    wait_until "$3" "the end of $name" gone "$pid"
    wait "$pid" || code=$?
    unset "process[$name]"
    [ "$code" -eq "$want" ] || fail "$name ended with code $code, not $want: $(tail -n 3 "$journals/$name.log")"
}

# A process that has ended and was not waited for yet is a zombie.
gone () {
    local line
    read -r line < "/proc/$1/stat" || return 0
    line=${line##*) }
    [ "${line%% *}" = Z ]
}

terminate () {
    kill -TERM "${process[$1]}"
}

# Kills a peer's process at once.
slay () {
    note kill "$1.${instances[$1]}"
    kill -KILL "${process[$1]}"
    ends "$1" 137 20
}

freeze () {
    kill -STOP "${process[$1]}"
}

thaw () {
    kill -CONT "${process[$1]}"
}

says () {
    [ -f "$1" ] && grep -qE -- "$2" "$1"
}

# start_broker LIMIT...: on all links, with statistics in a file of $work.
start_broker () {
    local limits=() limit incarnation again=false
    [ -n "${process[watch]:-}" ] || launch watch broker "$bin/fault_watch" "$journals/watch.journal"
    for limit in "$@"; do
        limits+=(--limit "$limit")
    done
    if [ -n "$data" ]; then
        limits+=(--data "$data")
        [ "${instances[broker]:-0}" -eq 0 ] || again=true
    fi
    "$again" || note launch
    instances[broker]=$((${instances[broker]:-0} + 1))
    [ ! -f "$journals/broker.log" ] ||
        mv "$journals/broker.log" "$journals/broker.$((instances[broker] - 1)).log"
    launch broker broker "$bin/leat" broker --insecure -l "tcp://0.0.0.0:$port" -s "ipc://$work/stats" \
        "${limits[@]}"
    wait_until 20 "the broker" says "$journals/broker.log" answers
    incarnation=$(statistics . incarnation)
    if "$again"; then
        note finish "broker-$((instances[broker] - 1))"
    else
        note running "$incarnation"
    fi
}

# What a broker keeps goes on in the next one; what is in its memory is over.
broker_ends () {
    if [ -n "$data" ]; then
        note begin "broker-${instances[broker]}" broker restart
    else
        note stopping
    fi
}

# Ends the broker in order.
stop_broker () {
    broker_ends
    terminate broker
    ends broker 0 30
}

# With no time to say good-bye.
kill_broker () {
    broker_ends
    kill -KILL "${process[broker]}"
    ends broker 137 20
}

# statistics ARGUMENT...: of stats_field, from what the broker tells now.
statistics () {
    "$bin/leat" stats -s "ipc://$work/stats" --timeout 10s --json | "$bin/stats_field" "$@"
}

# start_peer NAME ENDPOINT COMMAND...: fault_producer or fault_consumer with options of its own.
start_peer () {
    local name=$1 endpoint=$2 program=$3
    shift 3
    instances[$name]=$((${instances[$name]:-0} + 1))
    launch "$name" "$name" "$bin/$program" --broker "$endpoint" --stream load --name "$name" \
        --seed "$seed" --journal "$journals/$name.${instances[$name]}.journal" "$@"
    # From then on a signal does not end it at once.
    wait_until 60 "the start of $name" has_at_least "$name.${instances[$name]}" start 1
}

direct () {
    printf 'tcp://%s:%s' "$(broker_address "$1")" "$port"
}

# A forwarder on the host NAME, with options; its peer connects to $forwarded.
forwarded=tcp://127.0.0.1:7000
start_forwarder () {
    local name=$1
    shift
    launch "$name-forwarder" "$name" "$bin/fault_forwarder" --listen 7000 --host "$(broker_address "$name")" \
        --port "$port" --target "$name" --journal "$journals/forwarder-$name.journal" --seed "$seed" "$@"
    wait_until 20 "the forwarder" says "$journals/forwarder-$name.journal" listening
}

# --- what journals tell

# count INSTANCE WORD: lines of that word.
count () {
    awk -v word="$2" '$2 == word { n++ } END { print n + 0 }' "$journals/$1.journal" 2> /dev/null ||
        echo 0
}

has_at_least () {
    [ "$(count "$1" "$2")" -ge "$3" ]
}

# more INSTANCE WORD COUNT: so many lines more than there are now, within 30 seconds.
more () {
    local want=$(($(count "$1" "$2") + $3))
    wait_until 30 "$3 more \"$2\" of $1" has_at_least "$1" "$2" "$want"
}

# --- the end

# drain SECONDS: waits until the group is empty, by a consumer that is told so.
drain () {
    [ -n "${number_of[drain]:-}" ] || join drain
    start_peer drain "$(direct drain)" fault_consumer --until-empty 1
    ends drain 0 "$1"
}

told_by_shell () {
    grep -v "Killed  *setpriv" "$work/stderr" || true
}

hosts_clean_up () {
    local name
    for name in "${!process[@]}"; do
        kill -KILL "${process[$name]}" 2> /dev/null || true
    done
    wait 2> /dev/null || true
    for name in "${hosts_made[@]}"; do
        ip netns delete "$(space "$name")" 2> /dev/null || true
    done
    hosts_made=()
}
