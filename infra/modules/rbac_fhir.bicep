metadata description = 'The role assignment of rbac.bicep that is in the resource group of a FHIR service.'

@description('Name of the workspace that the service is in.')
param workspaceName string

@description('Name of the service.')
param serviceName string

@description('Object ID of the app\'s identity.')
param appPrincipalId string

@description('What the role is known by.')
param roleId string

resource workspace 'Microsoft.HealthcareApis/workspaces@2024-03-31' existing = {
  name: workspaceName

  resource service 'fhirservices' existing = {
    name: serviceName
  }
}

resource appRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace::service.id, appPrincipalId, roleId)
  scope: workspace::service
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleId)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: 'what is stored here is told there: patients, imaging studies, observations'
  }
}
