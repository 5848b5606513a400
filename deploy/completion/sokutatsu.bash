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
    "admin-token") words="--config --help --json --renew -h" ;;
    "backup") words="--help --json --name --patience --socket -h" ;;
    "bounce") words="--anyway --domain --for --help --json --mailing --patience --provider --reason --sender --site --socket --source -h" ;;
    "bounce-test") words="--help --json --optout-address -h" ;;
    "cancel") words="--address --anyway --help --json --mailing --patience --recipient --sender --socket -h" ;;
    "check") words="--config --help --json -h" ;;
    "classify") words="--config --help --json --phase --provider --site -h" ;;
    "completion") words="--help --json --out -h" ;;
    "consents") words="export import --help -h" ;;
    "consents export") words="--config --help --json --out --sender -h" ;;
    "consents import") words="--config --encoding --help --json --min-score --norec --offline --patience --refused --sender --set --socket -h" ;;
    "dkim") words="check keygen verify --help -h" ;;
    "dkim check") words="--help --json --key --nameserver --selector -h" ;;
    "dkim keygen") words="--algorithm --help --json --out --selector -h" ;;
    "dkim verify") words="--help --json --nameserver -h" ;;
    "drain") words="--help --json --off --patience --socket --timeout --wait -h" ;;
    "enqueue") words="--address-column --category --encoding --expires --help --json --key --mailing --message --not-before --override --patience --priority --recipients --refused --region-column --sender --socket --topic -h" ;;
    "evidence") words="--config --help --json --out --sender --since --until -h" ;;
    "forget") words="--confirm --help --json --patience --socket --withdraw -h" ;;
    "form") words="add list retire show --help -h" ;;
    "form add") words="--acquired-url --auto-compiled --covers --displayed-sender --help --json --kind --language --patience --privacy-policy-url --sender --shown-from --shown-to --socket --statement -h" ;;
    "form list") words="--config --help --json --sender -h" ;;
    "form retire") words="--help --json --patience --sender --shown-to --socket -h" ;;
    "form show") words="--config --content --help --json --sender -h" ;;
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
    "optouts export") words="--config --hash --help --in-force --json --key-file --out --sender -h" ;;
    "optouts import") words="--channel --encoding --global --help --json --key-file --patience --refused --sender --socket --topic -h" ;;
    "order") words="add list release --help -h" ;;
    "order add") words="--day --evidence --help --json --kind --patience --sender --socket --topic -h" ;;
    "order list") words="--help --json --patience --sender --socket -h" ;;
    "order release") words="--evidence --help --json --kind --officer --patience --sender --socket --topic -h" ;;
    "preflight") words="--config --help --json --network -h" ;;
    "reload") words="--help --json --patience --socket -h" ;;
    "reroute") words="--anyway --domain --for --help --json --mailing --patience --pool --provider --reason --sender --site --socket --source --to -h" ;;
    "restore") words="--config --help --json --lose-events --only -h" ;;
    "restore-address") words="--evidence --help --json --patience --socket -h" ;;
    "resume") words="--all --domain --help --json --mailing --patience --provider --sender --site --socket --source -h" ;;
    "retention") words="purge show --help -h" ;;
    "retention purge") words="--dry-run --help --json --patience --socket -h" ;;
    "retention show") words="--help --json --patience --sender --socket -h" ;;
    "run") words="--config --help --json -h" ;;
    "sender") words="restore revoke --help -h" ;;
    "sender restore") words="--help --json --patience --socket -h" ;;
    "sender revoke") words="--help --json --patience --reason --socket -h" ;;
    "status") words="--help --json --mailing --patience --sender --socket -h" ;;
    "submission-user") words="--help --json --sender -h" ;;
    "suppress") words="--agency --channel --help --json --patience --sender --socket --topic -h" ;;
    "suspend") words="--anyway --domain --for --help --json --mailing --patience --provider --reason --sender --site --socket --source -h" ;;
    "top") words="--help --interval --json --once --patience --socket -h" ;;
    "trace") words="--help --json --next --patience --socket --timeout -h" ;;
    "unsubscribe-key") words="list rotate --help -h" ;;
    "unsubscribe-key list") words="--config --help --json -h" ;;
    "unsubscribe-key rotate") words="--config --help --json -h" ;;
    "why") words="--every-limit --help --json --patience --socket -h" ;;
    "why-not") words="--category --help --json --override --patience --region --sender --socket --topic -h" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _sokutatsu sokutatsu
