import type { Protocol } from './obligation.ts';

/** Obligations of a server toward bots. */
export const BOTS: Protocol = {
  file: 'google/devtools/remoteworkers/v1test2/bots.proto and worker.proto',
  clauses: [
    {
      name: 'Bots.CreateBotSession',
      blocks: ['Bots.CreateBotSession', 'BotSession: whose a field is'],
      obligations: [
        [
          'The server names the session and says when it expires',
          'gives the session a name below its parent and a time to expire, and keeps what the bot said',
          'the name of a session is the server’s, whatever the bot calls it',
          'sessions of one bot_id have names of their own',
          'an empty bot_id gives INVALID_ARGUMENT',
          'without a bot session gives INVALID_ARGUMENT',
        ],
        [
          'A session ends the older ones of the same bot_id, whose updates are rejected',
          'ends older sessions of the same bot_id: an update on them is rejected',
          'returns the leases of the older session to the queue',
        ],
        ['Leases may come at once', 'may bring a lease already, PENDING and with the action packed'],
      ],
    },
    {
      name: 'Bots.UpdateBotSession and BotSession',
      blocks: ['Bots.UpdateBotSession: the session', 'BotSession: whose a field is'],
      obligations: [
        [
          'An update must be of a session that is valid',
          'an unknown name is rejected',
          'a name that differs from that of the session gives INVALID_ARGUMENT',
          'a bot_id that differs from that of the session is rejected',
          'without a bot session gives INVALID_ARGUMENT',
        ],
        ['update_mask may be stated', 'an update_mask is taken'],
        ['expire_time is the server’s, and moves on', 'expire_time moves on with every update'],
        [
          'A call may be held until there is work',
          'a poll is answered before its deadline, with nothing, when there is no work',
          'a poll that waits is answered as soon as there is work',
        ],
        [
          'BotStatus: only a bot that is OK gets work, and one that terminates keeps what it has',
          'a bot that is … gets no lease, and an answer at once',
          'a bot that does not tell its status gets no lease',
          'a bot that is BOT_TERMINATING keeps and completes its lease',
        ],
      ],
    },
    {
      name: 'Lease and LeaseState',
      blocks: [
        'Bots.UpdateBotSession: leases',
        'Leases carry the action',
        'Bots: metadata',
        'Lease: what a server sends',
      ],
      obligations: [
        [
          'A bot may go from PENDING to ACTIVE or COMPLETED, and from ACTIVE to COMPLETED',
          'a lease that is reported in the same state is kept',
          'a lease may be completed that was never reported ACTIVE',
          'a lease that is done is gone from the answer',
          'a lease in a state that does not exist is refused by the fault of the bot, and its job goes on',
        ],
        [
          'Leases done that are superfluous are ignored',
          'a lease that is reported as done twice is ignored the second time',
          'a lease done that nobody gave is ignored',
        ],
        [
          'Only the server gives and cancels leases',
          'a lease that nobody gave is gone from the answer',
          'the lease of another bot is gone from the answer, and its owner completes it',
          'a lease that was cancelled is dropped from the answer, or comes back CANCELLED',
          'a lease that the bot reports CANCELLED is dropped, never echoed',
        ],
        ['An answer that was lost loses no lease', 'a lease whose answer was lost is sent again'],
        [
          'Lease.status tells whether the lease could be run, Lease.result how',
          'work that could not be run for a fault of the machinery is given to a bot again',
          'work that can never be run is not tried for ever',
          'a result that is no ActionResult counts as an empty one, or gives the work to a bot again',
        ],
        [
          'Ids of leases are unique, and a bot takes the first of a list first',
          'the leases of one session have ids of their own, and the most urgent come first',
        ],
        ['Lease.result is never echoed', 'the result that a bot brings is not echoed'],
        ['Lease.payload is the action', 'as itself or by its digest, unchanged'],
      ],
    },
    {
      name: 'Worker, Device and Property',
      blocks: ['Platform', 'Bots: capacity', 'BotSession: whose a field is'],
      obligations: [
        [
          'The properties of the first device and of the worker say what the bot offers',
          'an action runs only on a bot that offers what it asks for',
          'a bot with several values of a property fits each of them',
          'a property of the worker as a whole counts as one of its device',
          'a property of a second device does not count',
        ],
        [
          'Worker.configs',
          'a bot that says nothing gets one lease at a time',
          'worker.configs capacity allows that many',
          'leases are completed one by one while others run',
        ],
      ],
    },
    {
      name: 'Bots.PostBotEventTemp',
      blocks: ['Bots.PostBotEventTemp'],
      obligations: [['May be unimplemented', 'is answered with OK or UNIMPLEMENTED, never worse']],
    },
  ],
};
