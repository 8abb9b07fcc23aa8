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
    query: 'AppTraces | where Message startswith "importing.take status=" and Message !startswith "importing.take status=200"'
    aggregation: 'Count'
    column: null
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
]

var undelivered = ['DeadLetteredCount', 'DroppedEventCount']

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

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for one in queries: {
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

resource metricAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [for metric in undelivered: {
  name: '${name}-${metric}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Events of the storage account could not be delivered: see the container deadletter.'
    severity: 2
    enabled: true
    scopes: [topicId]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: metric
          metricName: metric
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
