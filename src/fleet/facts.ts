/** What a survey saw, as plain data: every rule is a function of it, and agents send it as JSON. Times are epoch ms. */

export type Labels = Readonly<Record<string, string>>;

export interface ObjectFacts {
  readonly namespace: string;
  readonly name: string;
  /** 0 when the API did not say. */
  readonly createdAt: number;
}

export interface ServicePort {
  readonly name: string;
  readonly port: number;
  /** Number, or the name of a container port. */
  readonly target: string | number;
}

export interface ServiceFacts extends ObjectFacts {
  readonly labels: Labels;
  /** Those of the fleet alone. */
  readonly annotations: Labels;
  /** Empty: the Service selects nothing by itself. */
  readonly selector: Labels;
  readonly ports: readonly ServicePort[];
  readonly external: boolean;
  /** Its slices list pods that are not ready as ready. */
  readonly publishesNotReady: boolean;
}

export interface SliceFacts extends ObjectFacts {
  readonly service: string;
  /** Of each endpoint, who it is (the pod's uid, else the address), so that families and repeats count once. */
  readonly ready: readonly string[];
  readonly notReady: readonly string[];
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly changedAt: number;
  readonly updatedAt: number;
}

export interface ConfigMount {
  readonly configMap: string;
  /** Where the volume is mounted in the first container that mounts it. */
  readonly path: string;
  /** File in the volume → key of the ConfigMap, where the volume renames keys. */
  readonly files: Labels;
}

export interface DeploymentFacts extends ObjectFacts {
  readonly uid: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly podLabels: Labels;
  readonly images: readonly string[];
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly arguments: readonly string[];
  readonly configMaps: readonly ConfigMount[];
  readonly paused: boolean;
  readonly generation: number;
  readonly observedGeneration: number;
  /** Wanted. */
  readonly replicas: number;
  readonly updated: number;
  readonly ready: number;
  readonly available: number;
  /** Of the status: all pods of all its ReplicaSets. */
  readonly running: number;
  /** False: the API sent no status, so that counts say nothing. */
  readonly hasStatus: boolean;
  readonly conditions: readonly Condition[];
}

export interface ReplicaSetFacts extends ObjectFacts {
  readonly uid: string;
  /** Uid of the owning Deployment; '' without one. */
  readonly owner: string;
  readonly podLabels: Labels;
  readonly images: readonly string[];
  /** As the Deployment counts; 0 when it does not say. */
  readonly revision: number;
  readonly replicas: number;
  readonly running: number;
}

export interface ContainerFacts {
  readonly name: string;
  readonly restarts: number;
  /** Why it waits, such as CrashLoopBackOff; '' when it does not. */
  readonly waiting: string;
  readonly waitingMessage: string;
  /** Why it ended last, such as OOMKilled; '' when it never did. */
  readonly ended: string;
  readonly endedAt: number;
}

export interface PodFacts extends ObjectFacts {
  readonly uid: string;
  /** Uid of the controller; '' without one. */
  readonly owner: string;
  readonly ownerKind: string;
  readonly labels: Labels;
  readonly phase: string;
  /** Of the status, such as Evicted. */
  readonly reason: string;
  readonly ready: boolean;
  readonly readyChangedAt: number;
  /** Why it has no node; '' when it has one. */
  readonly unscheduled: string;
  /** When it was asked to end; 0 when it was not. */
  readonly deletedAt: number;
  readonly ip: string;
  readonly images: readonly string[];
  readonly containers: readonly ContainerFacts[];
}

export interface ConfigMapFacts {
  readonly namespace: string;
  readonly name: string;
  /** False: the API says that there is none. */
  readonly exists: boolean;
  /** When it was changed last, as far as its managed fields say; 0 otherwise. */
  readonly changedAt: number;
  /** Text by key; empty when it does not exist. */
  readonly data: Labels;
}

/** What a proxy says of its own table. */
export interface ProxyFacts {
  readonly namespace: string;
  readonly pod: string;
  /** '' when the pod answered. */
  readonly failure: string;
  readonly version: string;
  readonly file: string;
  /** SHA-256 of the file, in hex. */
  readonly hash: string;
  readonly loadedAt: number;
  /** Why it refused the file after that; '' when it did not. */
  readonly refused: string;
  readonly refusedAt: number;
  readonly restartNeeded: readonly string[];
  /** What is set by hand there, or braked by a guard. Older proxies and agents do not say. */
  readonly held?: readonly HeldFacts[];
}

export interface HeldFacts {
  /** `split of free: canary 0` */
  readonly text: string;
  readonly by: string;
  readonly reason: string;
  readonly createdAt: number;
  readonly until: number;
}

/** Something that could not be looked at; what depends on it is unknown, never fine. */
export interface Gap {
  readonly kind: string;
  readonly namespace: string;
  readonly message: string;
}

/** One manifest of the repository. */
export interface ManifestFacts {
  readonly kind: 'Deployment' | 'Service' | 'ConfigMap';
  /** '' when the manifest does not say. */
  readonly namespace: string;
  readonly name: string;
  readonly file: string;
  readonly images: readonly string[];
  /** Undefined when the manifest leaves it to an autoscaler. */
  readonly replicas: number | undefined;
  readonly data: Labels;
  readonly labels: Labels;
}

export interface RepositoryFacts {
  readonly directory: string;
  readonly manifests: readonly ManifestFacts[];
  readonly problems: readonly string[];
}

export interface Survey {
  readonly cluster: string;
  readonly at: number;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly services: readonly ServiceFacts[];
  readonly slices: readonly SliceFacts[];
  readonly deployments: readonly DeploymentFacts[];
  readonly replicaSets: readonly ReplicaSetFacts[];
  readonly pods: readonly PodFacts[];
  readonly configMaps: readonly ConfigMapFacts[];
  /** Empty when proxies were not asked. */
  readonly proxies: readonly ProxyFacts[];
  /** Why proxies were not asked; '' when they were. */
  readonly proxiesSkipped: string;
  readonly gaps: readonly Gap[];
  readonly repository: RepositoryFacts | undefined;
}
