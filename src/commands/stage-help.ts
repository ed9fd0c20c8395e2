/** The manual page of `pointsman stage`. */

export const STAGE_HELP = `NAME
    pointsman stage - move builds through the stages of a pipeline, every change a commit

SYNOPSIS
    pointsman stage [-C DIR] VERB [ARGUMENTS] [OPTIONS]

DESCRIPTION
    Works on a git repository of manifests: plain folders that Argo CD, Flux or kubectl apply. The repository is the
    only state. A build goes from the first stage to production, one stage at a time, and on a stage through its plan
    of weights (5 → 10 → 25 percent of the stage's traffic groups); several builds are under way at once, one per
    stage. The weights stand in the ConfigMap that the Pointsman proxies reload.

    The groups of the last stage (ENTERPRISE) meet only the track of the last stage, and a build comes there only
    after all the others: every table is held to that before it is committed.

VERBS
    init SERVICE [--image IMAGE] [--namespace NAME]
        Lays a service down from the common templates; with the first one, pipeline.yaml and the templates too.
        --image: what runs in production already. Without it every track is empty.

    deploy SERVICE IMAGE
        Puts a new build on the first stage. IMAGE has a tag or a digest.

    advance SERVICE [--stage STAGE]
        Takes the next step of the plan once the gates pass: the next weight, after the last weight the next stage.

    promote SERVICE [--stage STAGE] [--to STAGE]
        Moves a build one stage on once the plan is walked and the gates pass. --to further is a skip.
        The stage it leaves goes back to its first weight, and one that it overtakes (--supersede) first goes down to
        its own: promote again once the proxies run that. So no new image meets the users of a later weight.
        Default for --stage, here and above: the furthest stage before the last that has a build on trial.

    rollback SERVICE [--stage STAGE] [--to STAGE|COMMIT] [--drain|--evacuate]
        Takes a build off every stage; they run what production runs, and production what it ran before. Always
        allowed. Default for --stage: the furthest build on trial, else production. --to STAGE leaves the build on
        that stage; --to COMMIT brings back the builds of that commit. The build is held: it comes again only by force.
        --evacuate (default): weight 0, so that pinned users leave at once. --drain: users pinned by a store stay,
        nobody new comes, until the next build takes the track.

    approve SERVICE [--stage STAGE]
        Gives your approval, by your git identity, to the build that waits for one.

    status [SERVICE] [--gates]
        Which build is on which stage, since when, by whom, and the next step. --gates asks every gate.

    diff SERVICE [FROM [TO]]
        What changed in the service's files between two commits; default: by its last change.

    history SERVICE [--stage STAGE] [--limit N]
        Every change of the service, newest first.

    render [SERVICE...] [--check]
        Renders the manifests anew after templates or pipeline.yaml changed. --check: exit 1 when they are out of date.

    run [SERVICE...] [--once]
        Asks the gates every run.interval, takes the next step when they pass and rolls back when one fails. Can be
        killed and started again at any time; a second run waits for the lease of the first. --once: one round, for
        cron or CI.

OPTIONS
    -C, --repo DIR       the repository; default: here
    -m, --reason TEXT    why; stands in the commit
        --force          override gates, freezes, holds and the order of stages; needs --reason, and is recorded
        --supersede      take the place of a build that is still on trial
        --push           push the commit, and take over what the remote has before; default: git.push of pipeline.yaml
        --no-push        do not push
    -n, --dry-run        print the message and the patch, change nothing
    -o, --output FORMAT  text or json
    -h, --help           this text

FILES
    pipeline.yaml                     stages, gates, freezes; see below
    templates/track/*.yaml            one manifest each, rendered for every track; one that names \${image} only for
                                      tracks with a build
    templates/pointsman/*.yaml        the proxy; exactly one ConfigMap has the key pointsman.yaml
    services/SERVICE/service.yaml     namespace, replicas by track, proxyReplicas, proxies, values
    services/SERVICE/templates/       files here replace those of the same path under templates/
    services/SERVICE/state.yaml       written by this command alone
    manifests/SERVICE/                rendered, with a kustomization.yaml; written by this command alone

TEMPLATES
    \${name} is replaced in a manifest, $\${name} stays as \${name}; an unknown name is an error with its place. A value
    can change nothing but the scalar it stands in.
      everywhere          service, namespace, proxy_replicas, and values of pipeline.yaml and service.yaml
      templates/track     track, stage, image, version, replicas
      templates/pointsman weight_TRACK and rest_TRACK, which add up, for each track but the last ("-" is "_");
                          build_TRACK, the version on the track

PIPELINE
    stages[]    name, track, groups, weights, replicas, gates, promote (auto, manual), rollback (auto, manual),
                supersede
    freeze      deny[], allow[]: from, to (Fri 16:00, or 2026-12-20T18:00), timezone, stages, reason. Deny wins.
    proxies     admin URLs of the proxies; a name is asked at each of its addresses
    also        proxyReplicas, namespace, values, git.remote, git.push, run.interval, run.lease
    \${NAME} in a value is taken from the environment, so that tokens in URLs need not be committed.

GATES
    A gate passes, fails or holds. All pass: the next step is free. One fails: the build is rolled back. What cannot
    be asked holds.
      minimumTime, stepTime   on the stage, on each weight
      ready       every proxy runs the committed table and sees at least "endpoints" endpoints of the track up, and
                  all of them; not so for "deadline": fails
      judge       the canary against production in the same rows, from the proxies' own figures, in windows of at least
                  "window" and "minRequests" (300). A window fails when the error rate is higher by more than "margin"
                  (0.5 points) with "confidence" (99 %), when p95 is above "latencyRatio" (1.25) and "latencyMargin"
                  (10 ms), or above maxErrorRate or maxLatency. "failures" of the last "of" windows (2 of 3) fail.
                  A failure hidden by a retry on production is the canary's. It stays armed while other gates wait,
                  and on the stages that the build has left.
      prometheus  [] name, url, query, min, max; no data holds
      webhook     url, timeout: a POST with service, namespace, stage, track and image, once all else passes; 2xx is
                  a yes, or what "verdict" (pass, fail, hold) in a JSON answer says
      approval    count, by: different people, by pointsman stage approve

COMMITS
    One per change, or none: a command that fails or is killed leaves the branch as it was, and one killed between
    the commit and the work tree is finished by the next. The message has the trailers Stage-Verb, Stage-Service,
    Stage-Name, Stage-Image, Stage-Image-Before, Stage-Weight, Stage-Gates, Stage-Forced, Stage-Reason, Stage-By.
    Others who push meanwhile are met by planning anew from what they pushed, a few times.
    refs/pointsman/lease and refs/pointsman/observations hold the lease of run and the figures of open windows.

EXIT CODES
    0 done, or nothing to do; 1 failed (render --check: out of date); 2 wrong usage, or a file has errors;
    3 refused by a gate, a freeze or a rule; 4 the repository is in no state for it (dirty, detached, diverged,
    unreachable); 5 others were faster, several times in a row

EXAMPLES
    pointsman stage init account-service --image registry.example/account:1.8.2
    pointsman stage deploy account-service registry.example/account:1.9.0 --push
    pointsman stage run --push
    pointsman stage rollback account-service --reason 'carts are empty'

    The whole story: deploy/pipeline-guide.md
`;
