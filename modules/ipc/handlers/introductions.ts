/** Handlers of the group `introductions`. */
import type { introductionsContract } from '../../../protocols/ipc/contract/introductions.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { ContactsService } from '../../contacts/service.ts'
import type { IntroductionsService, IntroductionView } from '../../discovery/service.ts'

export interface IntroductionsHandlersServices {
  readonly introductions: IntroductionsService
  readonly contacts: Pick<ContactsService, 'get'>
}

type View = ResultOf<(typeof introductionsContract)['introductionsAccept']>['introduction']

export function introductionsHandlers({
  introductions,
  contacts,
}: IntroductionsHandlersServices): Handlers<typeof introductionsContract> {
  const view = ({ introducer, ...rest }: IntroductionView): View => ({
    ...rest,
    introducer: { peerId: introducer, name: contacts.get(introducer)?.name ?? null },
  })
  const list = (): { introductions: View[] } => ({ introductions: introductions.list().map(view) })
  return {
    introductionsList: async () => list(),
    introductionsMake: async ({ first, second }, { signal }) => ({
      id: await introductions.make(first, second, { signal }),
    }),
    introductionsAccept: async ({ id }, { signal }) => ({
      introduction: view(await introductions.accept(id, { signal })),
    }),
    async introductionsDecline({ id }) {
      await introductions.decline(id)
      return list()
    },
  }
}
