/** Lets a client process answer each round it is asked for, until it is told to end. */
export function answerRounds<Round, Result>(
  round: (asked: Round) => Promise<Result>,
  close: () => Promise<unknown>,
): void {
  process.on('message', (message: Round | 'end') => {
    if (message === 'end') {
      close().then(() => process.exit(0))
    } else {
      round(message).then(
        (result) => process.send?.(result),
        (error) => {
          console.error(error)
          process.exit(1)
        },
      )
    }
  })
  process.send?.('ready')
}
