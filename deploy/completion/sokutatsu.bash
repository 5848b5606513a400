# bash completion of sokutatsu; written by `sokutatsu completion bash`
_sokutatsu() {
    local word=${COMP_WORDS[COMP_CWORD]} path= at pair
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in -*) break ;; esac
        pair="${path:+$path }${COMP_WORDS[at]}"
        if [[ -n $path ]]; then
            case " $pair" in " consents export"|" consents import"|" dkim check"|" dkim keygen"|" dkim verify"|" form add"|" form list"|" form retire"|" form show"|" hold add"|" hold list"|" hold release"|" law table"|" optouts export"|" optouts import"|" order add"|" order list"|" order release"|" retention purge"|" retention show"|" sender restore"|" sender revoke"|" unsubscribe-key list"|" unsubscribe-key rotate") ;; *) break ;; esac
        fi
        path=$pair
    done
    local words=
    case $path in
    "") words="admin-token backup bounce bounce-test cancel check classify completion consents dkim drain enqueue evidence forget form guard hold law lint mailings optouts order preflight reload reroute restore restore-address resume retention run sender status submission-user suppress suspend top trace unsubscribe-key why why-not" ;;
    "admin-token") words="--config --help --renew -h" ;;
    "backup") words="--help --name --patience --socket -h" ;;
    "bounce") words="--domain --for --help --mailing --patience --provider --reason --sender --site --socket --source -h" ;;
    "bounce-test") words="--help --json --optout-address -h" ;;
    "cancel") words="--address --help --mailing --patience --recipient --sender --socket -h" ;;
    "check") words="--config --help -h" ;;
    "classify") words="--config --help --json --phase --provider --site -h" ;;
    "completion") words="--help --out -h" ;;
    "consents") words="export import --help -h" ;;
    "consents export") words="--config --help --out --sender -h" ;;
    "consents import") words="--config --encoding --help --min-score --norec --offline --patience --refused --sender --set --socket -h" ;;
    "dkim") words="check keygen verify --help -h" ;;
    "dkim check") words="--help --key --nameserver --selector -h" ;;
    "dkim keygen") words="--algorithm --help --out --selector -h" ;;
    "dkim verify") words="--help --nameserver -h" ;;
    "drain") words="--help --json --off --patience --socket --timeout --wait -h" ;;
    "enqueue") words="--address-column --category --encoding --expires --help --key --mailing --message --not-before --override --patience --priority --recipients --refused --region-column --sender --socket --topic -h" ;;
    "evidence") words="--config --help --out --sender --since --until -h" ;;
    "forget") words="--confirm --help --json --patience --socket --withdraw -h" ;;
    "form") words="add list retire show --help -h" ;;
    "form add") words="--acquired-url --auto-compiled --covers --displayed-sender --help --kind --language --patience --privacy-policy-url --sender --shown-from --shown-to --socket --statement -h" ;;
    "form list") words="--config --help --sender -h" ;;
    "form retire") words="--help --patience --sender --shown-to --socket -h" ;;
    "form show") words="--config --content --help --sender -h" ;;
    "guard") words="--help --json --patience --socket --thresholds -h" ;;
    "hold") words="add list release --help -h" ;;
    "hold add") words="--address --evidence --help --json --matter --officer --patience --sender --socket -h" ;;
    "hold list") words="--address --help --json --matter --patience --sender --socket -h" ;;
    "hold release") words="--address --evidence --help --json --matter --officer --patience --sender --socket -h" ;;
    "law") words="table --help -h" ;;
    "law table") words="--category --date --help --json --rules -h" ;;
    "lint") words="--category --config --help --json --network --region --sender --strict -h" ;;
    "mailings") words="--help --json --mailing --open --patience --seconds --sender --socket -h" ;;
    "optouts") words="export import --help -h" ;;
    "optouts export") words="--config --hash --help --in-force --key-file --out --sender -h" ;;
    "optouts import") words="--channel --encoding --global --help --key-file --patience --refused --sender --socket --topic -h" ;;
    "order") words="add list release --help -h" ;;
    "order add") words="--day --evidence --help --json --kind --patience --sender --socket --topic -h" ;;
    "order list") words="--help --json --patience --sender --socket -h" ;;
    "order release") words="--evidence --help --json --kind --officer --patience --sender --socket --topic -h" ;;
    "preflight") words="--config --help --json --network -h" ;;
    "reload") words="--help --json --patience --socket -h" ;;
    "reroute") words="--domain --for --help --mailing --patience --pool --provider --reason --sender --site --socket --source --to -h" ;;
    "restore") words="--config --help --lose-events --only -h" ;;
    "restore-address") words="--evidence --help --patience --socket -h" ;;
    "resume") words="--all --domain --help --mailing --patience --provider --sender --site --socket --source -h" ;;
    "retention") words="purge show --help -h" ;;
    "retention purge") words="--dry-run --help --json --patience --socket -h" ;;
    "retention show") words="--help --json --patience --sender --socket -h" ;;
    "run") words="--config --help -h" ;;
    "sender") words="restore revoke --help -h" ;;
    "sender restore") words="--help --patience --socket -h" ;;
    "sender revoke") words="--help --patience --reason --socket -h" ;;
    "status") words="--help --json --mailing --patience --sender --socket -h" ;;
    "submission-user") words="--help --sender -h" ;;
    "suppress") words="--agency --channel --help --patience --sender --socket --topic -h" ;;
    "suspend") words="--domain --for --help --mailing --patience --provider --reason --sender --site --socket --source -h" ;;
    "top") words="--help --interval --json --once --patience --socket -h" ;;
    "trace") words="--help --json --next --patience --socket --timeout -h" ;;
    "unsubscribe-key") words="list rotate --help -h" ;;
    "unsubscribe-key list") words="--config --help -h" ;;
    "unsubscribe-key rotate") words="--config --help -h" ;;
    "why") words="--every-limit --help --json --patience --socket -h" ;;
    "why-not") words="--category --help --json --patience --region --sender --socket --topic -h" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _sokutatsu sokutatsu
