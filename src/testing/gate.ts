/** A barrier that a test opens: hand `promise` to a step's `hold`, or put it between the parts of a body. */
export interface Gate {
  /** Resolves once the gate is open. */
  readonly promise: Promise<void>
  /** Lets everything through, now and later. */
  open(): void
}

/** Makes a closed {@link Gate}. */
export function gate(): Gate {
  let open!: () => void
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return { promise, open }
}
