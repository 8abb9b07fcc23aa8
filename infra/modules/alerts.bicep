metadata description = 'Who is told when something needs a look, and of what.'

@description('What names begin with.')
param name string

@description('Where the rules are.')
param location string

@description('Their tags.')
param tags object

@description('Whom messages are sent to.')
param email string

@description('Resource ID of the workspace that has the logs.')
param workspaceId string

@description('Resource ID of the event topic.')
param topicId string

@description('Resource ID of the topic that changes are published to; empty for none.')
param changesTopicId string

@description('Whether changes are passed on to anyone.')
param hasSubscribers bool

@description('Studies waiting for the indexer from which on someone is told.')
param backlogThreshold int

var sweeps = 'AppTraces | where Message startswith "sweep: studies="'

// A timer has instances of its own, so that its lines are few and none is left out by sampling.
var queries = [
  {
    name: 'failures'
    description: 'Requests were answered by 5xx, or functions failed.'
    severity: 1
    query: 'AppRequests | where ResultCode startswith "5" or (Success == false and not(ResultCode startswith "4"))'
    aggregation: 'Count'
    column: null
    operator: 'GreaterThan'
    threshold: 10
    window: 'PT15M'
  }
  {
    name: 'backlog'
    description: 'Studies have been waiting for the indexer for half an hour: searches become slow, and cost more.'
    severity: 2
    query: '${sweeps} | parse Message with "sweep: studies=" Studies:long " " *'
    aggregation: 'Minimum'
    column: 'Studies'
    operator: 'GreaterThan'
    threshold: backlogThreshold
    window: 'PT30M'
  }
  {
    name: 'silence'
    description: 'The sweep has not run for half an hour: nothing is indexed that no event told of, nothing forgotten.'
    severity: 1
    query: sweeps
    aggregation: 'Count'
    column: null
    operator: 'LessThan'
    threshold: 1
    window: 'PT30M'
  }
  {
    name: 'poison'
    description: 'An event failed five times: see the queue webjobs-blobtrigger-poison.'
    severity: 2
    query: 'AppTraces | where Message has "webjobs-blobtrigger-poison" and Message has "Moving message"'
    aggregation: 'Count'
    column: null
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
  {
    name: 'rejected'
    description: 'Files could not be imported: see import/rejected.'
    severity: 3
    query: 'AppTraces | where Message startswith "importing.take " and Message !contains " status=200 "'
    aggregation: 'Count'
    column: null
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
]

// Short failures are repeated, and no one's business.
var deliveryQueries = [
  {
    name: 'given-up'
    description: 'A subscriber could not be told of a study, and will not be without you: see its failures.'
    severity: 2
    query: 'AppTraces | where Message startswith "delivery: " and Message contains " gives up study="'
    aggregation: 'Count'
    column: null
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
  {
    name: 'unreachable'
    description: 'A subscriber has been down for five minutes, or asks for as long: what it is told of waits.'
    severity: 2
    query: 'AppTraces | parse Message with "delivery: " * " rests for " Seconds:long " s: " * | where Seconds >= 300'
    aggregation: 'Count'
    column: null
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT30M'
  }
]

var undelivered = ['DeadLetteredCount', 'DroppedEventCount']
var topics = filter(
  [
    { prefix: name, id: topicId, of: 'of the storage account' }
    { prefix: '${name}-changes', id: changesTopicId, of: 'that tell of changes' }
  ],
  one => !empty(one.id)
)
var metrics = flatten(map(topics, one => map(undelivered, metric => {
  name: '${one.prefix}-${metric}'
  metric: metric
  topicId: one.id
  description: 'Events ${one.of} could not be delivered: see AegDeliveryFailureLogs, and the dead letters.'
})))

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'dicom'
    emailReceivers: [
      {
        name: 'operators'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for one in concat(queries, hasSubscribers ? deliveryQueries : []): {
  name: '${name}-${one.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${name}: ${one.name}'
    description: one.description
    severity: one.severity
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT15M'
    windowSize: one.window
    autoMitigate: true
    // The tables exist only after the first lines.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: one.query
          timeAggregation: one.aggregation
          metricMeasureColumn: one.column
          operator: one.operator
          threshold: one.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [people.id]
    }
  }
}]

resource metricAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [for one in metrics: {
  name: one.name
  location: 'global'
  tags: tags
  properties: {
    description: one.description
    severity: 2
    enabled: true
    scopes: [one.topicId]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: one.metric
          metricName: one.metric
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}]
